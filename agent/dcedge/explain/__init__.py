"""`dcedge explain`: what is wrong with one virtual interface, on whose side, and how that is known."""
