"""Netlink by pyroute2: its socket carries the messages, its classes say how they are laid out."""
