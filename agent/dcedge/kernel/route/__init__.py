"""The kernel's routes: what they should be, and how they become so."""
