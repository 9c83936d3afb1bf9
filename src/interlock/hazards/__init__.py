"""The catalogue: one known way to break production a file.

A hazard is `<family>/<name>.py` in this package. Being there is its registration. Modules whose names begin with an underscore
are shared by the hazards of their family and are no hazards themselves.
"""
