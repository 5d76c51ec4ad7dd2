"""The manual page, from the command line's own help."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from dcedge import __version__
from dcedge.cli.app import app

FILES = {
    "/etc/dcedge/order.yaml": "The order.",
    "/etc/dcedge/credentials/": "The BGP passwords, a file each, mode 0600.",
    "/var/lib/dcedge/": "What is true now and was not ordered, and what is ours.",
    "/run/dcedge/control.sock": "Where the daemon listens: group dcedge reads, root changes.",
    "/usr/share/dcedge/order.schema.json": "The order's JSON Schema, for editors.",
    "/usr/share/doc/dcedge/examples/": "An order for each provider.",
}
EXIT = {
    "0": "Done, or nothing to do.",
    "1": "Failed.",
    "2": "Changes are pending (plan).",
    "3": "The order is invalid.",
    "4": "The daemon is not running, where the verb needs it.",
}


def manual() -> str:
    """The page in man's macros (man(7))."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    # Click's own tree, of whichever click typer has.
    command: Any = typer.main.get_command(app)
    with command.make_context("dcedge", [], resilient_parsing=True) as context:
        yield f'.TH DCEDGE 1 "" "dcedge {__version__}" "User Commands"'
        yield ".SH NAME"
        yield f"dcedge \\- {_escaped(str(command.help).rstrip('.'))}"
        yield ".SH SYNOPSIS"
        yield ".B dcedge"
        yield ".I VERB"
        yield "[options] [arguments]"
        verbs = {name: command.get_command(context, name) for name in command.list_commands(context)}
        common = set.intersection(*({p.name for p in verb.params} for name, verb in verbs.items() if name != "schema"))
        yield ".SH VERBS"
        for name, verb in verbs.items():
            if not verb.hidden:
                yield from _verb(name, verb, common)
        yield ".SH OPTIONS OF EVERY VERB"
        for parameter in verbs["check"].params:
            if parameter.name in common:
                yield from _option(parameter)
        for title, entries in (("FILES", FILES), ("EXIT STATUS", EXIT)):
            yield f".SH {title}"
            for what, text in entries.items():
                yield from _entry(what, text)


def _verb(name: str, verb: Any, common: set[str]) -> Iterator[str]:
    own = [parameter for parameter in verb.params if parameter.name not in common and not parameter.hidden]
    arguments = [parameter for parameter in own if parameter.param_type_name == "argument"]
    words = " ".join(argument.metavar or argument.name.upper() for argument in arguments)
    yield f".SS {_escaped(f'dcedge {name} {words}'.rstrip())}"
    yield _escaped(str(verb.help))
    for parameter in own:
        if parameter.param_type_name == "option" and parameter.name != "help":
            yield from _option(parameter)


def _option(option: Any) -> Iterator[str]:
    value = "" if option.is_flag else f" {option.metavar or option.name.upper()}"
    known = f" Environment: {option.envvar}." if option.envvar else ""
    yield from _entry(", ".join(option.opts) + value, f"{option.help or ''}{known}")


def _entry(what: str, text: str) -> Iterator[str]:
    yield ".TP"
    yield f"\\fB{_escaped(what)}\\fR"
    yield _escaped(text)


def _escaped(text: str) -> str:
    plain = " ".join(text.split()).replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{plain}" if plain.startswith((".", "'")) else plain
