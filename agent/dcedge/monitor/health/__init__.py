"""One verdict a virtual interface, from what was observed and measured."""
