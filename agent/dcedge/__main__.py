"""`python -m dcedge`: the same as the `dcedge` command."""

from dcedge.cli.entry import main

main()
