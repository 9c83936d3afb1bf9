"""Can the old release come back after this change has migrated the database? Tried, on a real Postgres with rows in it.

declared     what a team says of its migrations
server       a Postgres of our own, and the databases in it
seeding      rows for every table, so that there is something to lose
snapshot     what a database holds, and how two of them differ
process      the team's own interpreter, which runs Alembic or Django
theirs/      the scripts that it is given; they import nothing of interlock
round_trip   up, down, up, of each new migration
previous     the previous release's tests, on the new schema
trial        both proofs of one change, and what they come to
"""
