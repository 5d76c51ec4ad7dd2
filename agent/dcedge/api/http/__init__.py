"""HTTP: the server, its protection, and the page."""
