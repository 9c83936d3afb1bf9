"""Failures that nobody hears of."""
