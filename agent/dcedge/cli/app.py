"""The command line."""

from __future__ import annotations

from typing import Annotated

import typer
from typer.models import CommandInfo

from dcedge import __version__
from dcedge.cli import changes, queries  # noqa: F401 - they register their verbs
from dcedge.cli.exits import EXIT_FAILED, reported_errors
from dcedge.cli.verbs import app, verb
from dcedge.settings import LOG_LEVEL_VARIABLE, LogLevel, Settings

__all__ = ["app", "main"]

# As `--help` lists them.
_IN_HELP = (
    *("check", "plan", "apply", "reload", "confirm", "rollback", "drain", "undrain", "run", "status", "top", "explain"),
    *("purge", "measure", "bundle", "schema"),
)


def _name(command: CommandInfo) -> str:
    assert command.callback is not None
    return command.name or command.callback.__name__


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"dcedge {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None: ...


@verb
def run(
    settings: Settings,
    log_level: Annotated[
        LogLevel,
        typer.Option(envvar=LOG_LEVEL_VARIABLE, case_sensitive=False, help="The lowest level that is logged."),
    ] = LogLevel.INFO,
) -> None:
    """Run the daemon: keep the router as ordered, probe, and expose its state. SIGHUP reloads the order."""
    from dcedge.daemon.start import serve

    with reported_errors():
        serve(settings, log_level)


app.registered_commands.sort(key=lambda command: _IN_HELP.index(_name(command)))


def main() -> None:
    """The entry point of the `dcedge` command."""
    # A mistyped command line has failed; 2, which Click would say, means that changes are pending.
    typer.BadParameter.__bases__[0].exit_code = EXIT_FAILED  # type: ignore[attr-defined]  # UsageError, not exported
    app()
