"""What assistants' own hooks ask of us: one file an assistant, and what they have in common."""
