"""What people and programs see: control socket, HTTP, metrics, status."""
