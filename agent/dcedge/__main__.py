"""`python -m dcedge`: the same as the `dcedge` command."""

from dcedge.command import main

main()
