"""How a verb is registered, with the options that all have, and how it prints."""

from __future__ import annotations

import functools
import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcedge.settings import VARIABLES, Settings

if TYPE_CHECKING:
    from rich.console import Console


app = typer.Typer(
    name="dcedge",
    help="Turns this router into the customer's end of a cloud Direct Connect, as one order file says.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_DEFAULTS = Settings()
_PLACES: dict[str, tuple[object, str]] = {
    "order": (Path, "The order file."),
    "credentials": (Path, "Folder of the BGP passwords."),
    "socket": (Path, "The daemon's control socket."),
    "state_dir": (Path, "The state folder."),
    "listen": (str | None, "ADDRESS:PORT for HTTP, instead of the order's."),
    "frr_pathspace": (str | None, "FRR's -N name, where it has one."),
}
JsonOption = Annotated[bool, typer.Option("--json", help="For programs: JSON on standard output.")]


def verb(command: Callable[..., None]) -> Callable[..., None]:
    """Register a verb whose first parameter is the Settings: each place becomes an option and a DCEDGE_ variable."""

    @functools.wraps(command)
    def with_settings(**values: Any) -> None:
        places = {name: values.pop(name) for name in _PLACES}
        command(Settings(**places), **values)

    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    common = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=getattr(_DEFAULTS, name),
            annotation=Annotated[
                kind,
                # Whether a place can be used is for the verb to say that uses it.
                typer.Option("--" + name.replace("_", "-"), envvar=VARIABLES[name], readable=False, help=text),
            ],
        )
        for name, (kind, text) in _PLACES.items()
    ]
    parameters = [*(p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own), *common]
    vars(with_settings)["__signature__"] = inspect.Signature(parameters)
    with_settings.__annotations__ = {p.name: p.annotation for p in parameters}
    del vars(with_settings)["__wrapped__"]
    app.command()(with_settings)
    return command


def console() -> Console:
    """Where people read."""
    from rich.console import Console

    # Piped into a file or a program, lines keep their length: nobody's grep should meet a fold.
    return Console(highlight=False, width=None if sys.stdout.isatty() else 200, soft_wrap=not sys.stdout.isatty())


def print_json(data: object) -> None:
    """Give programs what they ask for."""
    json.dump(data, sys.stdout, indent=2)
    sys.stdout.write("\n")
