"""The daemon: its parts, wired together, and the changes that it carries out."""
