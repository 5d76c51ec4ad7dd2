"""The verbs that look: check, plan, status, top, explain, measure, bundle, schema."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dcedge.cli.exits import EXIT_FAILED, EXIT_INVALID, EXIT_PENDING, fail, reported_errors
from dcedge.order.findings import OrderInvalidError
from dcedge.settings import Settings

if TYPE_CHECKING:
    from dcedge.order.load import Loaded
    from dcedge.plan.diff import Plan
    from dcedge.reconcile.reconciler import Reconciler
    from dcedge.reconcile.result import Preview
from dcedge.cli.verbs import JsonOption, app, console, print_json, verb


def notes_of(preview: Preview) -> list[str]:
    """What a preview could not look at, and what it brings about elsewhere."""
    from dcedge.api.plan import preview_notes

    return preview_notes(preview)


def _own_session_notes(reconciler: Reconciler, plan: Plan) -> list[str]:
    from dcedge.cli.own_session import ssh_client, warning
    from dcedge.kernel.route.way_out import outgoing_link

    client = ssh_client()
    link = outgoing_link(reconciler.sock, client) if client is not None else None
    said = warning(plan, link, client) if client is not None and link is not None else None
    return [f"WARNING: {said}"] if said is not None else []


@verb
def check(
    settings: Settings,
    host: Annotated[bool, typer.Option("--host", help="Check this machine too: whether it can run the order.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check the order file; every problem at once, with its place. Touches nothing."""
    from dcedge.cli.print_capacity import capacity_json, print_capacity
    from dcedge.cli.refusal import refusals
    from dcedge.order.load import load_order
    from dcedge.order.resolve import resolve_interface
    from dcedge.units import counted

    if host and not settings.order.exists():
        _check_host(settings, None, as_json)
        return
    try:
        loaded = load_order(settings.order)
    except OrderInvalidError as error:
        if as_json:
            found = [finding.as_dict() for finding in error.findings]
            print_json({"valid": False, "problems": found, "warnings": [], "carried_bps": {}})
            raise typer.Exit(EXIT_INVALID) from None
        fail(str(error), EXIT_INVALID)
    warnings = [*loaded.warnings, *refusals(settings, loaded)]
    for warning in warnings if not as_json else ():
        typer.echo(str(warning), err=True)
    if host:
        _check_host(settings, loaded, as_json)
        return
    parts = loaded.order
    interfaces = [resolve_interface(parts, name) for name in parts.virtual_interfaces]
    if as_json:
        found = [warning.as_dict() for warning in warnings]
        print_json({"valid": True, "problems": [], "warnings": found, "carried_bps": capacity_json(interfaces)})
        return
    typer.echo(
        f"{settings.order}: good ({counted(len(parts.connections), 'connection')}, "
        f"{counted(len(parts.virtual_gateways), 'virtual gateway')}, "
        f"{counted(len(parts.virtual_interfaces), 'virtual interface')})"
    )
    print_capacity(console(), interfaces)


def _check_host(settings: Settings, loaded: Loaded | None, as_json: bool) -> None:
    from dcedge.cli.check_host import check_host

    with reported_errors():
        check_host(settings, loaded, as_json=as_json)


@verb
def plan(
    settings: Settings,
    whole: Annotated[bool, typer.Option("--all", help="Show every operation of a long plan too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what `apply` would do, with reason and disruption. Exit status 2: changes are pending."""
    from dcedge.api.plan import plan_json
    from dcedge.cli.print_plan import print_plan
    from dcedge.cli.refusal import refusals
    from dcedge.daemon.alone import reconciling
    from dcedge.order.load import load_order

    with reported_errors():
        loaded = load_order(settings.order)
        with reconciling(settings) as reconciler:
            preview = reconciler.preview(reconciler.intent(loaded.order, reconciler.store.runtime()))
            drained = sorted(preview.intent.runtime.drained & preview.intent.interfaces.keys())
            said = [*_own_session_notes(reconciler, preview.plan), *notes_of(preview), *reconciler.store.troubles()]
            said += map(str, refusals(settings, loaded))
            if drained:
                said.append(f"drained: {', '.join(drained)} (until `dcedge undrain`)")
        if as_json:
            print_json(plan_json(preview.plan, said))
        else:
            print_plan(console(), preview.plan, said, whole=whole, hint="dcedge plan --all")
        if preview.plan or preview.frr_detail or preview.intent.missing_credentials:
            raise typer.Exit(EXIT_PENDING)


@verb
def status(
    settings: Settings,
    name: Annotated[str, typer.Argument(metavar="[VI]", help="Show details of this virtual interface alone.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Show the state of every virtual interface: its verdict, rate, round trip and sessions."""
    from dcedge.api.control.client import ControlClient
    from dcedge.cli.print_detail import print_detail
    from dcedge.cli.print_status import print_status

    with reported_errors():
        client = ControlClient(settings.socket)
        if as_json:
            print_json(client.detail(name) if name else client.status())
        elif name:
            print_detail(console(), client.detail(name))
        else:
            print_status(console(), client.status())


@verb
def top(
    settings: Settings,
    text: Annotated[str, typer.Argument(help="Only those whose name, connection or gateway contains this.")] = "",
    interval: Annotated[str, typer.Option("--interval", metavar="DURATION", help="How often to refresh.")] = "2s",
    as_json: JsonOption = False,
) -> None:
    """Watch every virtual interface, the worst first, until q is pressed; in a pipe, show them once."""
    from dcedge.api.control.client import ControlClient
    from dcedge.api.overview import MOST_ROWS, Wanted
    from dcedge.cli.top import run_top
    from dcedge.units import parse_duration

    with reported_errors():
        client, wanted = ControlClient(settings.socket), Wanted(text)
        if as_json:
            print_json(client.overview(wanted._replace(most=MOST_ROWS)))
        else:
            run_top(console(), client.overview, wanted, parse_duration(interval))


@verb
def explain(
    settings: Settings,
    name: Annotated[str, typer.Argument(metavar="VI", help="The virtual interface.")],
    as_json: JsonOption = False,
) -> None:
    """Diagnose a virtual interface: the fault, the faulty side and the evidence. Changes nothing."""
    from dcedge.explain.gather import gather
    from dcedge.explain.report import explanation_json, print_explanation
    from dcedge.explain.walk import explain as walk

    with reported_errors():
        evidence = gather(settings, name)
        explanation = walk(evidence)
        if as_json:
            print_json(explanation_json(evidence, explanation))
        else:
            print_explanation(console(), evidence, explanation)


@verb
def measure(
    settings: Settings,
    name: Annotated[str, typer.Argument(metavar="VI", help="The virtual interface.")] = "",
    to: Annotated[str, typer.Option("--to", metavar="ADDRESS[:PORT]", help="The host in the cloud that answers.")] = "",
    token: Annotated[str, typer.Option("--token", help="The token that the answering side printed.")] = "",
    volume: Annotated[
        str, typer.Option("--volume", metavar="BYTES", help="Send at most this much, such as 20M.")
    ] = "20M",
    yes: Annotated[bool, typer.Option("--yes", help="Really send it: other traffic suffers meanwhile.")] = False,
    answer: Annotated[
        str, typer.Option("--answer", metavar="ADDRESS[:PORT]", help="Run as the answering side, in the cloud.")
    ] = "",
    seconds: Annotated[float, typer.Option("--for", help="Stop after this time without a request.")] = 600.0,
    as_json: JsonOption = False,
) -> None:
    """Find the provider's real policer with a bounded burst past the shaper, and print the rate that matches it."""
    from dcedge.cli.measure import Measurement, answer_measurements, place_of
    from dcedge.units import counted

    with reported_errors():
        if answer:
            count = answer_measurements(*place_of(answer), seconds, typer.echo)
            typer.echo(f"answered {counted(count, 'measurement')}")
            return
        planned = Measurement.planned(settings.order, name, to, token, volume)
        if not yes:
            fail(f"dcedge: {planned.describe()}. Say --yes to send it.", EXIT_FAILED)
        found = planned.run()
        if as_json:
            print_json(found.document())
        else:
            for line in found.lines():
                typer.echo(line)


@verb
def bundle(
    settings: Settings,
    output: Annotated[Path, typer.Option("--output", metavar="FILE", help="Where to write it.")] = Path(),
) -> None:
    """Write a tarball for support: order, plan, status, kernel, FRR and journal, with every secret removed."""
    from dcedge.cli.bundle import write_bundle

    with reported_errors():
        typer.echo(f"{write_bundle(settings, output)}: review it before you share it.")


@app.command()
def schema() -> None:
    """Print the JSON Schema of the order file, for editors."""
    from dcedge.order.schema import order_schema

    print_json(order_schema())
