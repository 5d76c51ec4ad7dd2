"""The kernel's bonds: what they should be, and how they become so."""
