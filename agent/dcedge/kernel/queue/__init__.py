"""The kernel's queues: what they should be, and how they become so."""
