"""Where the log goes, and what is never told in it."""
