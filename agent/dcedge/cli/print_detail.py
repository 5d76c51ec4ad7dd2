"""`dcedge status NAME` for people: all about one virtual interface. Rows are Text, never markup."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from dcedge.api.detail import Detail, PercentilesDocument, TimersDocument
from dcedge.api.overview import PLANNED
from dcedge.api.probes import ProbeDocument
from dcedge.api.status import ConnectionDocument, SessionDocument, VirtualInterfaceDocument
from dcedge.cli.print_status import STYLES, unstable
from dcedge.cli.top import spark
from dcedge.monitor.health.facts import OwnLoss
from dcedge.monitor.health.rules.lateness import lateness
from dcedge.monitor.health.rules.own_losses import in_words
from dcedge.units import counted, format_rate, format_seconds

_TRANSITIONS_MOST = 20

Line = tuple[str, str]  # what it is, and how it is


def print_detail(console: Console, detail: Detail) -> None:
    """Print the whole screen."""
    vi = detail["virtual_interface"]
    _print_head(console, detail)
    sections: list[tuple[str, list[Line]]] = [
        ("LINE", [*_line(detail["connection"]), ("link", vi["interface"] or "-")]),
        *((f"BGP {s['peer']}", list(_session(s, t))) for s, t in zip(vi["bgp"], detail["timers"], strict=True)),
        ("TRAFFIC", list(_traffic(vi))),
        *(
            (f"PROBES {p['destination']}", list(_probe(p, q)))
            for p, q in zip(vi["probes"], detail["percentiles"], strict=True)
        ),
        ("LAST HOUR", list(_hour(detail))),
        ("LAST DAY", list(_history(detail))),
    ]
    for title, lines in sections:
        if lines:
            console.print(Text(title, "dim"))
            console.print(Padding(_table(lines), (0, 0, 1, 2), expand=False))


def _print_head(console: Console, detail: Detail) -> None:
    vi = detail["virtual_interface"]
    planned = vi["admin"] == PLANNED
    head = Text(vi["name"], "bold")
    head.append(f"  {vi['verdict']}", "dim" if planned else STYLES[vi["verdict"]])
    if vi["since"] is not None:
        head.append(f" for {format_seconds(max(1.0, detail['taken_at'] - vi['since']))}")
    head.append(f": {vi['reason']}")
    console.print(head)
    said = [f"{vi['connection']} to {vi['virtual_gateway']}", vi["preference"], *(["planned"] if planned else [])]
    said.append("no rate of its own" if vi["ordered_bps"] is None else f"{format_rate(vi['ordered_bps'])} ordered")
    console.print(Text(", ".join(said)))
    for text in vi["failing"]:
        console.print(Text(f"not as ordered: {text}", "yellow"))
    if detail["side"]:
        console.print(Text(f"Side: {detail['side']}"))
    if detail["next_step"]:
        console.print(Text(f"Next: {detail['next_step']}"))
    if vi["verdict"] != "up":
        console.print(Text.assemble("Detailed diagnosis, with a text for a ticket: ", (detail["command"], "bold")))
    console.print()


def _line(connection: ConnectionDocument | None) -> Iterator[Line]:
    if connection is None:
        return
    yield "connection", ", ".join(filter(None, (connection["name"], connection["provider"], connection["description"])))
    if connection["circuit_id"]:
        yield "circuit", connection["circuit_id"]
    carrier = {True: "carrier", False: "no carrier", None: "carrier unknown"}[connection["carrier"]]
    speed = f", {format_rate(connection['speed_mbps'] * 1e6)}" if connection["speed_mbps"] else ""
    duplex = f" {connection['duplex']} duplex" if connection["duplex"] else ""
    state = f"{carrier}{speed}{duplex}" if connection["present"] else "missing"
    changes = connection["carrier_changes"]
    flaps = f"; the carrier has changed {counted(changes, 'time')}" if changes else ""
    yield "port", f"{connection['port']}: {state}{flaps}"
    if (errors := connection["errors"]) is not None:
        broken = errors["receive_errors"] + errors["transmit_errors"]
        dropped = errors["receive_dropped"] + errors["transmit_dropped"]
        yield "frames", f"{broken} in error, {dropped} dropped"
    for member in connection["members"]:
        words = {True: "in use", False: "not in use", None: "use unknown"}[member["in_use"]]
        partner = {True: "a partner is heard", False: "no partner is heard", None: "partner unknown"}
        light = "carrier" if member["carrier"] else "no carrier"
        yield member["port"], f"{light}, {partner[member['partner_heard']]}, {words}"
    for optics in connection["optics"]:
        receive = f"receives {_dbm(optics['receive_dbm'])} (alarm below {_dbm(optics['receive_alarm_dbm'])})"
        transmit = f"sends {_dbm(optics['transmit_dbm'])} (alarm below {_dbm(optics['transmit_alarm_dbm'])})"
        alarms = "".join(f"; {alarm}" for alarm in optics["alarms"])
        module = " ".join(filter(None, (optics["vendor"], optics["part"], optics["serial"])))
        yield f"light {optics['port']}", f"{receive}, {transmit}{alarms} [{module}]"


def _dbm(power: float | None) -> str:
    return "-" if power is None else f"{power:.1f} dBm"


def _session(session: SessionDocument, timers: TimersDocument) -> Iterator[Line]:
    uptime = session["uptime_seconds"]
    since = "" if uptime is None else f" for {format_seconds(max(1.0, uptime))}"
    yield "state", f"{session['state']}{since}{unstable(session)}"
    if timers["hold_seconds"] is not None:
        yield "AS", f"{timers['customer_asn']} here, {timers['cloud_asn']} at the cloud"
        yield "timers", f"keepalive {timers['keepalive_seconds']} s, hold {timers['hold_seconds']} s"
    bfd = session["bfd"]
    if bfd is not None:
        interval, notice = timers["bfd_interval_seconds"], timers["bfd_detection_seconds"]
        ordered = "" if interval is None else f", ordered {format_seconds(interval)} × {timers['bfd_multiplier']}"
        noticed = "" if notice is None else f"; detects a dead path within {format_seconds(notice)}"
        yield "BFD", f"{bfd}{ordered}{noticed}"
    prefixes = session["prefixes"]
    accepted = f"{prefixes['accepted']}{_at_most(timers['receive_limit'])} accepted"
    advertised = f"{prefixes['advertised']}{_at_most(timers['advertise_limit'])} advertised"
    yield "prefixes", f"{accepted}, {advertised}"
    last, earlier = session["last_reset"], session["earlier_reset"]
    why = f"; last reset: {last}" if last else f"; earlier reset: {earlier}" if earlier else ""
    yield "lost", f"{counted(session['transitions'], 'time')}{why}"


def _at_most(limit: int | None) -> str:
    return "" if limit is None else f" of at most {limit}"


def _traffic(vi: VirtualInterfaceDocument) -> Iterator[Line]:
    if (used := vi["used"]) is not None:
        yield "now", f"{format_rate(used['receive_bps'])} in, {format_rate(used['transmit_bps'])} out"
    if (shaper := vi["shaper"]) is not None:
        lately, ever = shaper["saturated_last_minute_seconds"], shaper["saturated_seconds"]
        yield "shaper", f"{shaper['queue']}; {shaper['sent_packets']} packets sent, {shaper['sent_bytes']} bytes"
        yield (
            "queue",
            (
                f"{shaper['dropped_packets']} packets dropped, {shaper['marked_packets']} marked, "
                f"{shaper['backlog_bytes']} bytes waiting, {shaper['requeues']} requeued"
            ),
        )
        yield (
            "at the limit",
            f"{lately:.0f} s of the last minute, {format_seconds(max(ever, 1)) if ever else 'never'} in all",
        )
    for loss in vi["own_losses"]:
        yield "lost here", in_words(OwnLoss(**loss))
    if (counters := vi["counters"]) is not None:
        packets, size, broken = counters["receive_packets"], counters["receive_bytes"], counters["receive_errors"]
        yield "in", f"{packets} packets, {size} bytes, {broken} in error"
        packets, size, broken = counters["transmit_packets"], counters["transmit_bytes"], counters["transmit_errors"]
        yield "out", f"{packets} packets, {size} bytes, {broken} in error"


def _probe(probe: ProbeDocument, percentiles: PercentilesDocument) -> Iterator[Line]:
    window = f"the last {probe['window_probes']}" if probe["window_probes"] else "none yet"
    recent = ", ".join(
        f"{name} {format_seconds(value)}"
        for name, value in (("least", probe["rtt_min_seconds"]), ("mean", probe["rtt_seconds"]))
        if value is not None
    )
    late = probe["router_late_seconds"]
    held = f"; {lateness(late)}" if late else ""
    yield "round trip", f"{recent or 'none'} ({window}){held}"
    told = (
        ("p50", percentiles["p50_seconds"]),
        ("p90", percentiles["p90_seconds"]),
        ("p99", percentiles["p99_seconds"]),
    )
    spread = ", ".join(f"{name} {format_seconds(value)}" for name, value in told if value is not None)
    if spread:
        yield "percentiles", f"{spread} (of {percentiles['measured']} since the daemon began)"
    if probe["jitter_seconds"] is not None:
        yield "jitter", format_seconds(probe["jitter_seconds"])
    share = f"; {probe['window_lost'] / probe['window_probes']:.1%} of {window}" if probe["window_probes"] else ""
    yield "lost", f"{probe['lost']} of {probe['sent']}{share}"
    yield "odd", f"{probe['late']} late, {probe['duplicates']} duplicate, {probe['reordered']} out of order"
    if probe["full_size_answered"] is not None:
        yield (
            "full size",
            f"{probe['mtu_bytes']} bytes {'get' if probe['full_size_answered'] else 'do not get'} through",
        )
    if probe["error"]:
        yield "error", probe["error"]


def _hour(detail: Detail) -> Iterator[Line]:
    for name, points, floor, show in (
        ("round trip", detail["hour"]["rtt_seconds"], 0.0, format_seconds),
        ("loss", detail["hour"]["loss"], 0.1, "{:.1%}".format),
        ("in", detail["hour"]["receive_bps"], 0.0, format_rate),
        ("out", detail["hour"]["transmit_bps"], 0.0, format_rate),
    ):
        known = [point for point in points if point is not None]
        if known:
            yield name, f"{spark(points, floor=floor, length=60)} {show(min(known))} to {show(max(known))}"


def _history(detail: Detail) -> Iterator[Line]:
    for transition in detail["history"][-_TRANSITIONS_MOST:]:
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(transition["at"]))
        yield at, f"{transition['before']} → {transition['after']}: {transition['reason']}"


def _table(lines: Iterable[Line]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in lines:
        table.add_row(Text(name), Text(text))
    return table
