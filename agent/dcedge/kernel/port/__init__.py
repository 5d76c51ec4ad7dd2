"""The kernel's ports: what they should be, and how they become so."""
