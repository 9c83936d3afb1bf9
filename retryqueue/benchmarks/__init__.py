"""Measures `retryqueue` beside the well-known queues; `queue.py` is the command."""
