"""The control socket: its server, its client, and what is answered."""
