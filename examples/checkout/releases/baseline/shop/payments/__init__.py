"""Getting paid."""
