"""The command line."""

from __future__ import annotations

import functools
import inspect
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcedge import __version__
from dcedge.errors import NotRunningError, OrderInvalidError
from dcedge.exits import EXIT_FAILED, EXIT_INVALID, EXIT_PENDING, fail, told_errors
from dcedge.settings import VARIABLES, Settings

if TYPE_CHECKING:
    from rich.console import Console

    from dcedge.expose.control import ControlClient
    from dcedge.order.load import Loaded
    from dcedge.plan import Plan
    from dcedge.reconcile import Preview, Reconciler

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


def _console() -> Console:
    from rich.console import Console

    # Piped into a file or a program, lines keep their length: nobody's grep should meet a fold.
    return Console(highlight=False, width=None if sys.stdout.isatty() else 200, soft_wrap=not sys.stdout.isatty())


def _print_json(data: object) -> None:
    json.dump(data, sys.stdout, indent=2)
    sys.stdout.write("\n")


def notes_of(preview: Preview) -> list[str]:
    """What a preview could not look at."""
    from dcedge.expose.plan_document import notes

    return notes(preview.intent, preview.frr_detail, preview.firewall_detail)


def _own_session_notes(reconciler: Reconciler, plan: Plan) -> list[str]:
    from dcedge.own_session import outgoing_link, ssh_client, warning

    client = ssh_client()
    link = outgoing_link(reconciler.sock, client) if client is not None else None
    said = warning(plan, link, client) if client is not None and link is not None else None
    return [f"WARNING: {said}"] if said is not None else []


@_verb
def check(
    settings: Settings,
    as_json: JsonOption = False,
) -> None:
    """Check the order file; every problem at once, with its place. Touches nothing."""
    from dcedge.order.load import load_order
    from dcedge.refusal import refusal
    from dcedge.units import counted

    try:
        loaded = load_order(settings.order)
    except OrderInvalidError as error:
        if as_json:
            _print_json({"valid": False, "problems": [f.as_dict() for f in error.findings], "warnings": []})
            raise typer.Exit(EXIT_INVALID) from None
        fail(str(error), EXIT_INVALID)
    refused = refusal(settings, loaded)
    warnings = [*loaded.warnings, *([refused] if refused is not None else ())]
    if as_json:
        _print_json({"valid": True, "problems": [], "warnings": [w.as_dict() for w in warnings]})
        return
    for warning in warnings:
        typer.echo(str(warning), err=True)
    parts = loaded.order
    typer.echo(
        f"{settings.order}: good ({counted(len(parts.connections), 'connection')}, "
        f"{counted(len(parts.virtual_gateways), 'virtual gateway')}, "
        f"{counted(len(parts.virtual_interfaces), 'virtual interface')})"
    )


@_verb
def plan(
    settings: Settings,
    as_json: JsonOption = False,
) -> None:
    """Show what `apply` would do, with reason and disruption. Exit status 2: changes are pending."""
    from dcedge.alone import reconciling
    from dcedge.expose.plan import print_plan
    from dcedge.expose.plan_document import plan_json
    from dcedge.order.load import load_order
    from dcedge.refusal import refusal

    with told_errors():
        loaded = load_order(settings.order)
        with reconciling(settings) as reconciler:
            preview = reconciler.preview(reconciler.intent(loaded.order, reconciler.store.runtime()))
            drained = sorted(preview.intent.runtime.drained & preview.intent.interfaces.keys())
            said = [*_own_session_notes(reconciler, preview.plan), *notes_of(preview), *reconciler.store.troubles()]
            if (refused := refusal(settings, loaded)) is not None:
                said.append(str(refused))
            if drained:
                said.append(f"drained: {', '.join(drained)} (until `dcedge undrain`)")
        if as_json:
            _print_json(plan_json(preview.plan, said))
        else:
            print_plan(_console(), preview.plan, said)
        if preview.plan or preview.frr_detail or preview.intent.withheld:
            raise typer.Exit(EXIT_PENDING)


@_verb
def apply(
    settings: Settings,
    confirm: Annotated[
        str | None,
        typer.Option("--confirm", metavar="DURATION", help="Roll back unless `dcedge confirm` comes in time."),
    ] = None,
    allow_removal: Annotated[
        int | None,
        typer.Option("--allow-removal", metavar="N", min=0, help="Exactly N virtual interfaces are meant to go."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make the router what the order says: through the daemon where it runs, else in one pass of its own."""
    from dcedge import alone
    from dcedge.expose.control import ControlClient
    from dcedge.order.load import load_order
    from dcedge.order_file import NewOrderFile
    from dcedge.units import parse_duration

    with told_errors():
        loaded = load_order(settings.order)
        seconds = parse_duration(confirm) if confirm is not None else None
        parameters = {} if seconds is None else {"confirm": str(seconds)}
        if allow_removal is not None:
            parameters["allow_removal"] = str(allow_removal)
        if seconds is not None:
            alone.start_guard(settings)
        client = ControlClient(settings.socket)
        file = _other_order_file(settings, client)
        fresh = NewOrderFile.beside(file, loaded.text) if file is not None else None
        try:
            try:
                _hand_over_credentials(client, settings, loaded)
                answer = client.command("apply", loaded.text, **parameters)
            except NotRunningError:
                answer = alone.apply(settings, loaded, seconds, allow_removal)
        except BaseException:
            if fresh is not None:
                fresh.discard()
            raise
        if fresh is not None and seconds is None:
            fresh.take_place()  # else once it is confirmed
        _print_answer(answer, as_json)
        if answer.get("rolled_back"):
            fail("An operation failed: rolled back.", EXIT_FAILED)
        if seconds is not None and not as_json:
            typer.echo(f"In force for {confirm} unless you say: dcedge confirm")
        if not answer["complete"]:
            raise typer.Exit(EXIT_FAILED)


def _other_order_file(settings: Settings, client: ControlClient) -> Path | None:
    """The order file that is to say what is applied, where `--order` on the command line names another one.

    It is the daemon's; without one the installed service's, but for a state folder of somebody's own. Where the daemon
    says that it is, it is only where root says so too: the daemon is another user.
    """
    known = Path(os.environ.get(VARIABLES["order"]) or _DEFAULTS.order)
    if settings.order in {known, _DEFAULTS.order}:
        return None
    try:
        path = Path(client.status()["order"]["path"])
    except NotRunningError:
        if settings.state_dir != _DEFAULTS.state_dir:
            return None
        path = _DEFAULTS.order
    return known if path == known else None


def _hand_over_credentials(client: ControlClient, settings: Settings, loaded: Loaded) -> None:
    """Give the daemon the passwords that root can read: it runs as a user of its own, who need not be able to."""
    from dcedge.credentials import as_kept, read_credentials
    from dcedge.intent import credentials_of

    secrets, _ = read_credentials(credentials_of(loaded.order), settings.credentials)
    client.command("credentials", json.dumps(as_kept(secrets)))


@_verb
def reload(
    settings: Settings,
    as_json: JsonOption = False,
) -> None:
    """Have the daemon read the order file and the passwords again: what `systemctl reload dcedge` does."""
    from dcedge.expose.control import ControlClient
    from dcedge.order.load import load_order

    with told_errors():
        client = ControlClient(settings.socket)
        try:
            loaded = load_order(settings.order)
        except OrderInvalidError:
            with suppress(NotRunningError):
                client.command("reload")  # the daemon refuses it too, and so its status and its metrics tell of it
            raise
        _hand_over_credentials(client, settings, loaded)
        _print_answer(client.command("reload"), as_json)


@_verb
def confirm(settings: Settings) -> None:
    """Keep the order that was applied with --confirm."""
    from dcedge import alone
    from dcedge.expose.control import ControlClient
    from dcedge.order_file import take_place_if_waiting

    with told_errors():
        try:
            confirmed = ControlClient(settings.socket).command("confirm")
        except NotRunningError:
            confirmed = alone.confirm(settings)
        typer.echo("Confirmed.")
        take_place_if_waiting(settings.order, confirmed["order"])


@_verb
def rollback(
    settings: Settings,
    at_deadline: Annotated[bool, typer.Option("--at-deadline", hidden=True)] = False,
    as_json: JsonOption = False,
) -> None:
    """Go back to the order before, now; the one in force is remembered as rejected."""
    from dcedge import alone
    from dcedge.expose.control import ControlClient

    with told_errors():
        if at_deadline:
            alone.guard(settings)
            return
        try:
            answer = ControlClient(settings.socket).command("rollback")
        except NotRunningError:
            answer = alone.roll_back(settings)
        _print_answer(answer, as_json)
        if not answer["complete"]:
            raise typer.Exit(EXIT_FAILED)


NamesArgument = Annotated[list[str], typer.Argument(help="Virtual interfaces, or connections with all of theirs.")]
AllButOption = Annotated[bool, typer.Option("--all-but", help="All but these.")]


@_verb
def drain(
    settings: Settings,
    names: NamesArgument,
    all_but: AllButOption = False,
    force: Annotated[bool, typer.Option("--force", help="Also the last path of a virtual gateway.")] = False,
    wait: Annotated[
        str, typer.Option("--wait", metavar="DURATION", help="How long to wait for traffic to leave.")
    ] = "60s",
    as_json: JsonOption = False,
) -> None:
    """Move traffic away from virtual interfaces, wait until it has left, and keep it away until `undrain`."""
    from dcedge.expose.control import ControlClient
    from dcedge.units import parse_duration

    with told_errors():
        patience = parse_duration(wait)
        client = ControlClient(settings.socket)
        parameters = {"force": "yes"} if force else {}
        answer = client.command("drain", json.dumps({"names": names, "all_but": all_but}), **parameters)
        busy: dict[str, str] = {}
        if not answer["undone"]:
            if not as_json:
                typer.echo(f"Drained: {', '.join(answer['virtual_interfaces'])}. Waiting for traffic to leave.")
            busy = _wait_for_silence(client, answer["quiet_bps"], patience)
        if as_json:
            _print_json({**answer, "still_carrying": busy})
        _say_undone(answer, "drained", as_json)
        if busy:
            told = ", ".join(f"{name} ({rates})" for name, rates in busy.items())
            static = [name for name in answer["static"] if name in busy]
            why = "No other path may be left, or the cloud does not heed what it was told."
            if static:
                why = f"{', '.join(static)} is static: the cloud cannot be told, change its routes there."
            fail(f"Traffic has not left: {told}. {why}", EXIT_FAILED)
        if not as_json:
            typer.echo("Traffic has left.")


def _say_undone(answer: dict[str, Any], what: str, as_json: bool) -> None:
    """End with a failure where what was asked for is not in force everywhere."""
    if not answer["undone"]:
        return
    if not as_json:
        for said in (*(failure["text"] for failure in answer["failures"]), *answer["notes"]):
            typer.echo(said, err=True)
    fail(f"Not {what} yet: {', '.join(answer['undone'])}. It is remembered and will be retried.", EXIT_FAILED)


def _wait_for_silence(client: ControlClient, quiet_bps: dict[str, float], seconds: float) -> dict[str, str]:
    """Wait until virtual interfaces carry no more than they need themselves; what the others carry at the end."""
    import time

    from dcedge.units import format_rate

    deadline = time.monotonic() + seconds
    quiet_before = False
    while True:
        # A rate is that of the last second or so: the first one may be of the time before.
        time.sleep(1.0)
        used = {vi["name"]: vi["used"] for vi in client.status()["virtual_interfaces"] if vi["name"] in quiet_bps}
        busy = {
            name: f"{format_rate(rates['receive_bps'])} in, {format_rate(rates['transmit_bps'])} out"
            for name, rates in used.items()
            if rates is not None and max(rates["receive_bps"], rates["transmit_bps"]) > quiet_bps[name]
        }
        if (not busy and quiet_before) or time.monotonic() > deadline:
            return busy
        quiet_before = not busy


@_verb
def undrain(
    settings: Settings, names: NamesArgument, all_but: AllButOption = False, as_json: JsonOption = False
) -> None:
    """Let drained virtual interfaces carry traffic again."""
    from dcedge.expose.control import ControlClient

    with told_errors():
        body = json.dumps({"names": names, "all_but": all_but})
        answer = ControlClient(settings.socket).command("undrain", body)
        if as_json:
            _print_json(answer)
        _say_undone(answer, "in use again", as_json)
        if not as_json:
            undrained, chosen = answer["changed"], answer["virtual_interfaces"]
            if undrained:
                typer.echo(f"In use again: {', '.join(undrained)}.")
            if others := sorted(set(chosen) - set(undrained)):
                typer.echo(f"Not drained before: {', '.join(others)}.")


def _print_answer(answer: dict[str, Any], as_json: bool) -> None:
    from dcedge.expose.plan import print_applied

    if as_json:
        _print_json(answer)
    else:
        print_applied(_console(), answer)


@_verb
def run(
    settings: Settings,
) -> None:
    """Run the daemon: keep the router as ordered, probe, and expose its state. SIGHUP reloads the order."""
    from dcedge.daemon import serve

    with told_errors():
        serve(settings)


@_verb
def status(
    settings: Settings,
    name: Annotated[str, typer.Argument(metavar="[VI]", help="All about this virtual interface alone.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Show what the daemon sees: every virtual interface with its verdict, rate, round trip and sessions."""
    from dcedge.expose.control import ControlClient
    from dcedge.expose.one import print_detail
    from dcedge.expose.status import print_status

    with told_errors():
        client = ControlClient(settings.socket)
        if as_json:
            _print_json(client.detail(name) if name else client.status())
        elif name:
            print_detail(_console(), client.detail(name))
        else:
            print_status(_console(), client.status())


@_verb
def top(
    settings: Settings,
    text: Annotated[str, typer.Argument(help="Only those in whose name, connection or gateway this occurs.")] = "",
    interval: Annotated[str, typer.Option("--interval", metavar="DURATION", help="How often to look.")] = "2s",
    as_json: JsonOption = False,
) -> None:
    """Watch every virtual interface, the worst first, until q is pressed; piped, look once."""
    from dcedge.expose.control import ControlClient
    from dcedge.expose.overview import MOST_ROWS, Wanted
    from dcedge.expose.top import run_top
    from dcedge.units import parse_duration

    with told_errors():
        client, wanted = ControlClient(settings.socket), Wanted(text)
        if as_json:
            _print_json(client.overview(wanted._replace(most=MOST_ROWS)))
        else:
            run_top(_console(), client.overview, wanted, parse_duration(interval))


@_verb
def explain(
    settings: Settings,
    name: Annotated[str, typer.Argument(metavar="VI", help="The virtual interface.")],
    as_json: JsonOption = False,
) -> None:
    """Say what is wrong with a virtual interface, on whose side, and how that is known. Changes nothing."""
    from dcedge.explain.gather import gather
    from dcedge.explain.report import explanation_json, print_explanation
    from dcedge.explain.walk import explain as walk

    with told_errors():
        evidence = gather(settings, name)
        explanation = walk(evidence)
        if as_json:
            _print_json(explanation_json(evidence, explanation))
        else:
            print_explanation(_console(), evidence, explanation)


@_verb
def purge(
    settings: Settings,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask, also on a terminal.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove everything dcedge owns, and nothing else. The daemon must not be running."""
    from dcedge.alone import reconciling
    from dcedge.expose.plan import print_applied, print_plan
    from dcedge.expose.plan_document import applied_json
    from dcedge.reconcile import purge_intent

    with told_errors(), reconciling(settings) as reconciler, reconciler.store.writer():
        intent = purge_intent(reconciler.store.owned())
        if sys.stdin.isatty() and not yes:
            preview = reconciler.preview(intent)
            print_plan(_console(), preview.plan, notes_of(preview))
            if preview.plan and not typer.confirm("Remove all this?"):
                fail("Nothing was removed.", EXIT_FAILED)
        if reconciler.store.pending() is not None:
            reconciler.store.forget_pending()  # FRR saves nothing while an order waits
        result = reconciler.run(intent)
        done = result.complete and not result.frr_unsaved
        if done:
            reconciler.store.clear()
        answer = applied_json(result)
        if as_json:
            _print_json(answer)
        else:
            print_applied(_console(), answer)
        if not done:
            raise typer.Exit(EXIT_FAILED)


@_verb
def measure(
    settings: Settings,
    name: Annotated[str, typer.Argument(metavar="VI", help="The virtual interface.")] = "",
    to: Annotated[str, typer.Option("--to", metavar="ADDRESS[:PORT]", help="The host in the cloud that answers.")] = "",
    token: Annotated[str, typer.Option("--token", help="What the answering side printed: its consent.")] = "",
    volume: Annotated[
        str, typer.Option("--volume", metavar="BYTES", help="The most that is sent, such as 20M.")
    ] = "20M",
    yes: Annotated[bool, typer.Option("--yes", help="Send it: other traffic suffers meanwhile.")] = False,
    answer: Annotated[
        str, typer.Option("--answer", metavar="ADDRESS[:PORT]", help="Be the answering side, in the cloud.")
    ] = "",
    seconds: Annotated[float, typer.Option("--for", help="How long to answer without hearing a word.")] = 600.0,
    as_json: JsonOption = False,
) -> None:
    """Find the provider's real policer with a bounded burst past the shaper, and say what fits it."""
    from dcedge.measure.command import Measurement, answer_measurements, place_of
    from dcedge.units import counted

    with told_errors():
        if answer:
            count = answer_measurements(*place_of(answer), seconds, typer.echo)
            typer.echo(f"answered {counted(count, 'measurement')}")
            return
        planned = Measurement.planned(settings.order, name, to, token, volume)
        if not yes:
            fail(f"dcedge: {planned.describe()}. Say --yes to send it.", EXIT_FAILED)
        found = planned.run()
        if as_json:
            _print_json(found.document())
        else:
            for line in found.lines():
                typer.echo(line)


@_verb
def bundle(
    settings: Settings,
    output: Annotated[Path, typer.Option("--output", metavar="FILE", help="Where to write it.")] = Path(),
) -> None:
    """Write a tarball for support: order, plan, status, kernel, FRR and journal, with every secret taken out."""
    from dcedge.bundle import write_bundle

    with told_errors():
        typer.echo(f"{write_bundle(settings, output)}: look through it before you hand it on.")


@app.command()
def schema() -> None:
    """Print the JSON Schema of the order file, for editors."""
    from dcedge.order.schema import order_schema

    _print_json(order_schema())


def main() -> None:
    """The entry point of the `dcedge` command."""
    # A mistyped command line has failed; 2, which Click would say, means that changes are pending.
    typer.BadParameter.__bases__[0].exit_code = EXIT_FAILED  # type: ignore[attr-defined]  # UsageError, not exported
    app()
