"""The `dcedge` command. The daemon starts without the command line's libraries, which it would keep for good: 9 MB."""

from __future__ import annotations

import sys
import traceback

from dcedge.cli.encoding import show_any_text
from dcedge.logging.masking import hide


def main() -> None:
    """The entry point. An error that nobody has foreseen is told as Python does it, but without secrets."""
    show_any_text(sys.stdout, sys.stderr)
    try:
        if sys.argv[1:] == ["run"]:  # as the service has it; with options it is the command line's to read them
            from dcedge.cli.exits import reported_errors
            from dcedge.daemon.start import serve
            from dcedge.settings import LogLevel, Settings

            with reported_errors():
                serve(Settings.from_environment(), LogLevel.from_environment())
        else:
            from dcedge.cli.app import main as command_line

            command_line()
    except Exception:  # noqa: BLE001
        sys.stderr.write(hide(traceback.format_exc()))
        raise SystemExit(1) from None
