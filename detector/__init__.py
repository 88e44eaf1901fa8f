"""What a session is, and what we say about it."""
