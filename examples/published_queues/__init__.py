"""The two payment retry queues of the incident of 17 October 2024, re-created: wrong on purpose, and measured."""
