"""Scripts for the team's own interpreter. They import Alembic or Django from there, and nothing of interlock."""
