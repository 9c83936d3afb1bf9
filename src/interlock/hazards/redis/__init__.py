"""Several clients share one Redis, and each command sees the world after the others' commands."""
