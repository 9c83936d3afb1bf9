"""The two published queues and ours, measured row by row: what each loses, doubles and forgets.

subject      one face for the three of them
ledger       a provider that counts
children     workers that are killed
faults       broken networks, and servers that are away
test_*.py    the rows: one class each, whose docstring says when a queue passes
__main__     prints the table, from a run of the tests
"""
