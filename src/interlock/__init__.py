"""`interlock`: a machine guard for changes that look clean and break production.

core      the nouns every floor speaks
source    what a Python file says: names, value origins, identity sinks, Redis commands
hazards   the catalogue, one file a hazard
check     guard 1: read the change
gate      evidence in, verdict out
cli       the only place that prints or exits
"""

__version__ = "0.1.0"
