"""What a Python file says, for those who look for hazards in it. Standard library only.

module    one parsed file, walked once: nodes by type, parents, scopes
names     what a name means: imports, bindings, the definition behind a call
origins   where a value comes from, and how often it is made
sinks     where identity matters: idempotency keys, ids, deduplication
redis     which calls are Redis commands
"""
