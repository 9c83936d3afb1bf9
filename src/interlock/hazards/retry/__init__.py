"""What is tried again: how often, for how long, and who hears of it when it fails for good."""
