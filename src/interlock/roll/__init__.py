"""The third guard: release behind a canary, judge it while it runs, and stop at the first sound sign of harm."""
