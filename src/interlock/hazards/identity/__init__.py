"""One thing is taken for another: ids, idempotency keys, deduplication."""
