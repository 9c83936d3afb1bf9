"""Who is shopping: signing up, and being recognised again."""
