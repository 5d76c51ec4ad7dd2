"""The kernel's addresses: what they should be, and how they become so."""
