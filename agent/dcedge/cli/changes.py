"""The verbs that change: apply, reload, confirm, rollback, drain, undrain, purge."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dcedge.cli.exits import EXIT_FAILED, fail, reported_errors
from dcedge.errors import NotRunningError
from dcedge.order.findings import OrderInvalidError
from dcedge.settings import VARIABLES, Settings

if TYPE_CHECKING:
    from dcedge.api.control.client import ControlClient
    from dcedge.api.control.replies import AppliedReply, DrainedReply
    from dcedge.order.load import Loaded
from dcedge.cli.queries import notes_of
from dcedge.cli.verbs import _DEFAULTS, JsonOption, console, print_json, verb


@verb
def apply(
    settings: Settings,
    confirm: Annotated[
        str | None,
        typer.Option(
            "--confirm", metavar="DURATION", help="Roll back after this time, unless `dcedge confirm` keeps the order."
        ),
    ] = None,
    allow_removal: Annotated[
        int | None,
        typer.Option("--allow-removal", metavar="N", min=0, help="Allow the removal of exactly N virtual interfaces."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Apply the order: through the daemon where it runs, else in one pass of its own."""
    from dcedge.api.control.client import ControlClient
    from dcedge.cli.order_file import NewOrderFile
    from dcedge.cli.refusal import refuse_overload
    from dcedge.daemon import alone
    from dcedge.order.load import load_order
    from dcedge.units import parse_duration

    with reported_errors():
        loaded = load_order(settings.order)
        refuse_overload(settings, loaded)
        seconds = parse_duration(confirm) if confirm is not None else None
        if seconds is not None:
            alone.start_guard(settings)
        client = ControlClient(settings.socket)
        file = _other_order_file(settings, client)
        fresh = NewOrderFile.beside(file, loaded.text) if file is not None else None
        try:
            try:
                _hand_over_credentials(client, settings, loaded)
                answer = client.apply(loaded.text, seconds, allow_removal)
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
            typer.echo(f"In force for {confirm} unless you confirm it: dcedge confirm")
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
    from dcedge.order.credentials import read_credentials
    from dcedge.reconcile.desired import credentials_of

    secrets, _ = read_credentials(credentials_of(loaded.order), settings.credentials)
    client.hand_over(secrets)


@verb
def reload(
    settings: Settings,
    as_json: JsonOption = False,
) -> None:
    """Have the daemon read the order file and the passwords again: what `systemctl reload dcedge` does."""
    from dcedge.api.control.client import ControlClient
    from dcedge.cli.refusal import refuse_overload
    from dcedge.order.load import load_order

    with reported_errors():
        client = ControlClient(settings.socket)
        try:
            loaded = load_order(settings.order)
        except OrderInvalidError:
            with suppress(NotRunningError):
                client.reload()  # the daemon refuses it too, and so its status and its metrics tell of it
            raise
        refuse_overload(settings, loaded)
        _hand_over_credentials(client, settings, loaded)
        _print_answer(client.reload(), as_json)


@verb
def confirm(settings: Settings) -> None:
    """Keep the order that was applied with --confirm."""
    from dcedge.api.control.client import ControlClient
    from dcedge.cli.order_file import take_place_if_waiting
    from dcedge.cli.print_plan import print_notes
    from dcedge.daemon import alone

    with reported_errors():
        try:
            confirmed = ControlClient(settings.socket).confirm()
        except NotRunningError:
            confirmed = alone.confirm(settings)
        print_notes(console(), confirmed["notes"])
        typer.echo("Confirmed.")
        take_place_if_waiting(settings.order, confirmed["order"])


@verb
def rollback(
    settings: Settings,
    at_deadline: Annotated[bool, typer.Option("--at-deadline", hidden=True)] = False,
    as_json: JsonOption = False,
) -> None:
    """Go back to the previous order now; the order in force is remembered as rejected."""
    from dcedge.api.control.client import ControlClient
    from dcedge.daemon import alone

    with reported_errors():
        if at_deadline:
            alone.guard(settings)
            return
        try:
            answer = ControlClient(settings.socket).rollback()
        except NotRunningError:
            answer = alone.roll_back(settings)
        _print_answer(answer, as_json)
        if not answer["complete"]:
            raise typer.Exit(EXIT_FAILED)


NamesArgument = Annotated[list[str], typer.Argument(help="Virtual interfaces, or connections with all of theirs.")]
AllButOption = Annotated[bool, typer.Option("--all-but", help="All but these.")]


@verb
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
    from dcedge.api.control.client import ControlClient
    from dcedge.cli.silence import wait_for_silence
    from dcedge.units import parse_duration

    with reported_errors():
        patience = parse_duration(wait)
        client = ControlClient(settings.socket)
        answer = client.drain(names, all_but=all_but, force=force)
        busy: dict[str, str] = {}
        if not answer["undone"]:
            if not as_json:
                typer.echo(f"Drained: {', '.join(answer['virtual_interfaces'])}. Waiting for traffic to leave.")
            busy = wait_for_silence(client, answer["quiet_bps"], patience)
        if as_json:
            print_json({**answer, "still_carrying": busy})
        _say_undone(answer, "drained", as_json)
        if busy:
            told = ", ".join(f"{name} ({rates})" for name, rates in busy.items())
            static = [name for name in answer["static"] if name in busy]
            why = "No other path may be left, or the cloud ignores what this router announces."
            if static:
                why = f"{', '.join(static)} is static: a drain cannot be announced, change the routes at the cloud."
            fail(f"Traffic has not left: {told}. {why}", EXIT_FAILED)
        if not as_json:
            typer.echo("Traffic has left.")


def _say_undone(answer: DrainedReply, what: str, as_json: bool) -> None:
    """End with a failure where what was asked for is not in force everywhere."""
    if not answer["undone"]:
        return
    if not as_json:
        for said in (*(failure["text"] for failure in answer["failures"]), *answer["notes"]):
            typer.echo(said, err=True)
    fail(f"Not {what} yet: {', '.join(answer['undone'])}. It is remembered and will be retried.", EXIT_FAILED)


@verb
def undrain(
    settings: Settings, names: NamesArgument, all_but: AllButOption = False, as_json: JsonOption = False
) -> None:
    """Let drained virtual interfaces carry traffic again."""
    from dcedge.api.control.client import ControlClient

    with reported_errors():
        answer = ControlClient(settings.socket).undrain(names, all_but=all_but)
        if as_json:
            print_json(answer)
        _say_undone(answer, "in use again", as_json)
        if not as_json:
            undrained, chosen = answer["changed"], answer["virtual_interfaces"]
            if undrained:
                typer.echo(f"In use again: {', '.join(undrained)}.")
            if others := sorted(set(chosen) - set(undrained)):
                typer.echo(f"Not drained before: {', '.join(others)}.")


def _print_answer(answer: AppliedReply, as_json: bool) -> None:
    from dcedge.cli.print_plan import print_applied

    if as_json:
        print_json(answer)
    else:
        print_applied(console(), answer)


@verb
def purge(
    settings: Settings,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask, also on a terminal.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove everything dcedge owns, and nothing else. The daemon must not be running."""
    from dcedge.api.plan import applied_json
    from dcedge.cli.print_plan import print_applied, print_plan
    from dcedge.daemon.alone import reconciling
    from dcedge.reconcile.reconciler import purge_intent

    with reported_errors(), reconciling(settings) as reconciler, reconciler.store.writer():
        intent = purge_intent(reconciler.store.owned())
        if sys.stdin.isatty() and not yes:
            preview = reconciler.preview(intent)
            print_plan(console(), preview.plan, notes_of(preview))
            if preview.plan and not typer.confirm("Remove all this?"):
                fail("Nothing was removed.", EXIT_FAILED)
        if reconciler.store.pending_order.get() is not None:
            reconciler.store.pending_order.forget()  # FRR saves nothing while an order waits
        result = reconciler.run(intent)
        done = result.complete and not result.frr_unsaved
        if done:
            reconciler.store.clear()
        answer = applied_json(result)
        if as_json:
            print_json(answer)
        else:
            print_applied(console(), answer)
        if not done:
            raise typer.Exit(EXIT_FAILED)
