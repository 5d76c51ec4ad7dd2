"""The command line. Exit status: 0 done, 1 failed, 2 changes pending (plan), 3 order invalid, 4 no daemon."""

from __future__ import annotations

import functools
import inspect
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from dcedge import __version__
from dcedge.errors import DcedgeError, NotRunningError, OrderInvalidError
from dcedge.settings import Settings

if TYPE_CHECKING:
    from rich.console import Console

    from dcedge.reconcile import Preview, Reconciler

EXIT_FAILED, EXIT_PENDING, EXIT_INVALID, EXIT_NO_DAEMON = 1, 2, 3, 4

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


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"dcedge {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None: ...


def _verb(command: Callable[..., None]) -> Callable[..., None]:
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
                kind, typer.Option("--" + name.replace("_", "-"), envvar=f"DCEDGE_{name.upper()}", help=text)
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


@contextmanager
def _errors() -> Iterator[None]:
    """Every expected error as one clear message and its exit status."""
    try:
        yield
    except OrderInvalidError as error:
        _fail(str(error), EXIT_INVALID)
    except NotRunningError as error:
        _fail(f"dcedge: {error}", EXIT_NO_DAEMON)
    except DcedgeError as error:
        _fail(f"dcedge: {error}", EXIT_FAILED)
    except PermissionError as error:
        _fail(f"dcedge: {error.filename or 'this'}: {error.strerror} (are you root?)", EXIT_FAILED)


def _fail(text: str, status: int) -> NoReturn:
    typer.echo(text, err=True)
    raise typer.Exit(status)


def _console() -> Console:
    from rich.console import Console

    # Piped into a file or a program, lines keep their length: nobody's grep should meet a fold.
    return Console(highlight=False, width=None if sys.stdout.isatty() else 200, soft_wrap=not sys.stdout.isatty())


def _print_json(data: object) -> None:
    json.dump(data, sys.stdout, indent=2)
    sys.stdout.write("\n")


@contextmanager
def _reconciler(settings: Settings) -> Iterator[Reconciler]:
    from dcedge.bgp.vty import FrrClient
    from dcedge.reconcile import Reconciler
    from dcedge.store import Store

    reconciler = Reconciler(settings, Store(settings.state_dir), FrrClient(settings.frr_pathspace))
    try:
        yield reconciler
    finally:
        reconciler.close()


def notes_of(preview: Preview) -> list[str]:
    """What a preview could not look at."""
    from dcedge.expose.plan_document import notes

    return notes(preview.intent, preview.frr_detail, preview.firewall_detail)


@_verb
def check(
    settings: Settings,
    as_json: JsonOption = False,
) -> None:
    """Check the order file; every problem at once, with its place. Touches nothing."""
    from dcedge.order.load import load_order

    try:
        loaded = load_order(settings.order)
    except OrderInvalidError as error:
        if as_json:
            _print_json({"valid": False, "problems": [f.as_dict() for f in error.findings], "warnings": []})
            raise typer.Exit(EXIT_INVALID) from None
        _fail(str(error), EXIT_INVALID)
    if as_json:
        _print_json({"valid": True, "problems": [], "warnings": [w.as_dict() for w in loaded.warnings]})
        return
    for warning in loaded.warnings:
        typer.echo(str(warning), err=True)
    parts = loaded.order
    typer.echo(
        f"{settings.order}: good ({len(parts.connections)} connections, "
        f"{len(parts.virtual_gateways)} virtual gateways, {len(parts.virtual_interfaces)} virtual interfaces)"
    )


@_verb
def plan(
    settings: Settings,
    as_json: JsonOption = False,
) -> None:
    """Show what `apply` would do, with reason and disruption. Exit status 2: changes are pending."""
    from dcedge.expose.plan import print_plan
    from dcedge.expose.plan_document import plan_json
    from dcedge.order.load import load_order

    with _errors():
        loaded = load_order(settings.order)
        with _reconciler(settings) as reconciler:
            preview = reconciler.preview(reconciler.intent(loaded.order, reconciler.store.runtime()))
        if as_json:
            _print_json(plan_json(preview.plan, notes_of(preview)))
        else:
            print_plan(_console(), preview.plan, notes_of(preview))
        if preview.plan or preview.frr_detail:
            raise typer.Exit(EXIT_PENDING)


@_verb
def apply(
    settings: Settings,
    as_json: JsonOption = False,
) -> None:
    """Make the router what the order says: through the daemon where it runs, else in one pass of its own."""
    from dcedge.expose.control import ControlClient
    from dcedge.expose.plan import print_applied
    from dcedge.expose.plan_document import applied_json
    from dcedge.order.load import load_order

    with _errors():
        loaded = load_order(settings.order)
        try:
            answer = ControlClient(settings.socket).apply(loaded.text)
        except NotRunningError:
            with _reconciler(settings) as reconciler, reconciler.store.writer():
                result = reconciler.run(reconciler.intent(loaded.order, reconciler.store.runtime()))
                reconciler.store.save_last_good_order(loaded.text)
            answer = applied_json(result)
        if as_json:
            _print_json(answer)
        else:
            print_applied(_console(), answer)
        if not answer["complete"]:
            raise typer.Exit(EXIT_FAILED)


@_verb
def run(
    settings: Settings,
) -> None:
    """Run the daemon: keep the router as ordered, probe, and expose its state. SIGHUP reloads the order."""
    from dcedge.service import serve

    with _errors():
        serve(settings)


@_verb
def status(
    settings: Settings,
    as_json: JsonOption = False,
) -> None:
    """Show what the daemon sees: every virtual interface with its verdict, rate, round trip and sessions."""
    from dcedge.expose.control import ControlClient
    from dcedge.expose.status import print_status

    with _errors():
        data = ControlClient(settings.socket).status()
        if as_json:
            _print_json(data)
        else:
            print_status(_console(), data)


@_verb
def purge(
    settings: Settings,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask, also on a terminal.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove everything dcedge owns, and nothing else. The daemon must not be running."""
    from dcedge.expose.plan import print_applied, print_plan
    from dcedge.expose.plan_document import applied_json
    from dcedge.reconcile import purge_intent

    with _errors(), _reconciler(settings) as reconciler:
        intent = purge_intent(reconciler.store.owned())
        if sys.stdin.isatty() and not yes:
            preview = reconciler.preview(intent)
            print_plan(_console(), preview.plan, notes_of(preview))
            if preview.plan and not typer.confirm("Remove all this?"):
                _fail("Nothing was removed.", EXIT_FAILED)
        with reconciler.store.writer():
            result = reconciler.run(intent)
            if result.complete:
                reconciler.store.clear()
        answer = applied_json(result)
        if as_json:
            _print_json(answer)
        else:
            print_applied(_console(), answer)
        if not result.complete:
            raise typer.Exit(EXIT_FAILED)


@app.command()
def schema() -> None:
    """Print the JSON Schema of the order file, for editors."""
    from dcedge.order.schema import order_schema

    _print_json(order_schema())


def main() -> None:
    """The entry point of the `dcedge` command."""
    app()
