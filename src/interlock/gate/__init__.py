"""The interlock itself: a fixed set of questions about a change, each answered from evidence.

One file a question in `questions/`; being there is the registration. What the change says of itself is never trusted: the map
of features and the exclusions are read from the base.
"""
