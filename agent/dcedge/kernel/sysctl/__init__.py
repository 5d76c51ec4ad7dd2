"""The kernel's settings: what they should be, and how they become so."""
