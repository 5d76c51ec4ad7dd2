"""The kernel's links: what they should be, and how they become so."""
