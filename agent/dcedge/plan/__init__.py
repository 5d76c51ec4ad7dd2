"""What a plan is made of, and how two states differ."""
