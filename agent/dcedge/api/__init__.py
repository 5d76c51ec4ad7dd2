"""What the daemon shows and offers to the outside."""
