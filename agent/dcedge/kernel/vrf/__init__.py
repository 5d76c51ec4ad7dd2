"""The kernel's VRFs: what they should be, and how they become so."""
