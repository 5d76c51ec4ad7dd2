"""Prometheus: the daemon's own metrics in a registry, and a table of families for what there are thousands of."""
