"""What a stranger can make the code do."""
