"""The pre-flight: what of this machine would keep an order from working, each with the command that mends it."""
