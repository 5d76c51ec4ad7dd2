"""`python -m dcedge`: the same as the `dcedge` command."""

from dcedge.cli import main

main()
