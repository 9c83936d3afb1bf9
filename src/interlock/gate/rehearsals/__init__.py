"""Rollbacks that were rehearsed: carried out in an environment, timed, and verified there.

declared    what a team says of its rollback and its environments
rehearse    carries the steps out, and looks at the environment before and after
artifact    what one returns to: images by digest, old versions that are kept
"""
