"""Guard 1, read: known hazards in the source, in milliseconds. Standard library only."""
