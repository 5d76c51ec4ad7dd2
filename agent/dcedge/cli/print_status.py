"""`dcedge status` for people: what is wrong first, then everything, then one line that sums up.

It prints what the control socket gave. Rows are Text, never markup, so that no name or peer can colour or
hide anything.
"""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from dcedge.api.overview import GRAVITY, PLANNED
from dcedge.api.probes import ProbeDocument
from dcedge.api.status import (
    NOT_ISOLATED,
    ConnectionDocument,
    SessionDocument,
    Status,
    VirtualInterfaceDocument,
)
from dcedge.units import counted, format_rate, format_seconds

STYLES = {"down": "bold red", "degraded": "bold yellow", "pending": "yellow", "drained": "cyan", "up": "green"}


def print_status(console: Console, status: Status) -> None:
    """Print the whole screen."""
    vis = sorted(status["virtual_interfaces"], key=lambda vi: (GRAVITY.index(vi["verdict"]), vi["name"]))
    _print_head(console, status)
    _print_troubles(console, vis)
    if status["connections"]:
        console.print(_connections(status))
        console.print()
    if vis:
        console.print(_virtual_interfaces(vis, status["router"]["taken_at"], console.width))
        console.print()
    _print_foot(console, status, vis)


def _print_head(console: Console, status: Status) -> None:
    router, frr = status["router"], status["frr"]
    line = Text.assemble(
        (router["hostname"], "bold"),
        f"  AS {router['asn']}  router ID {router['router_id']}  dcedge {router['version']}  ",
    )
    name = f"FRR {frr['version']}" if frr["version"] else "FRR"
    if frr["available"]:
        line.append(f"{name}: {frr['detail']}" if frr["detail"] else f"{name} answers")
    else:
        line.append(f"{name} does not answer", "bold red")
        line.append(f": {frr['detail']}" if frr["detail"] else "")
    console.print(line)
    console.print()


def _print_troubles(console: Console, vis: list[VirtualInterfaceDocument]) -> None:
    troubled = [vi for vi in vis if vi["verdict"] != "up"]
    if not troubled:
        return
    table = _table()
    for _ in range(3):
        table.add_column()
    table.show_header = False
    for vi in troubled:
        table.add_row(_verdict(vi), Text(vi["name"], "bold"), Text(vi["reason"]))
    console.print(table)
    console.print()


def _connections(status: Status) -> Table:
    lit = any(connection["optics"] for connection in status["connections"])
    light = ("LIGHT IN",) if lit else ()
    headers = ("CONNECTION", "PROVIDER", "PORT", "BANDWIDTH", "CARRIER", "SPEED", *light, "ERRORS/DROPS")
    table = _table(*headers, "VIs", "CIRCUIT")
    counts: dict[str, int] = {}
    for vi in status["virtual_interfaces"]:
        counts[vi["connection"]] = counts.get(vi["connection"], 0) + 1
    for connection in status["connections"]:
        if not connection["present"]:
            carrier = Text("no such port", "bold red")
        elif connection["carrier"] is None:
            carrier = Text("unknown")
        else:
            carrier = Text("yes") if connection["carrier"] else Text("none", "bold red")
        over = f"over {connection['over']}, " if connection["over"] else ""
        table.add_row(
            Text(connection["name"]),
            Text(connection["provider"]),
            Text(f"{over}{connection['port']}"),
            Text(format_rate(connection["bandwidth_bps"])),
            carrier,
            _speed(connection),
            *((_light(connection),) if lit else ()),
            _port_errors(connection),
            Text(str(counts.get(connection["name"], 0))),
            Text(connection["circuit_id"] or connection["description"] or "-"),
        )
    return table


def _speed(connection: ConnectionDocument) -> Text:
    if connection["speed_mbps"] is None:
        return Text("-")
    speed_bps = connection["speed_mbps"] * 1_000_000
    faulty = connection["duplex"] == "half" or speed_bps < connection["bandwidth_bps"]
    return Text(f"{format_rate(speed_bps)} {connection['duplex'] or ''}".rstrip(), "red" * faulty)


def _light(connection: ConnectionDocument) -> Text:
    """The weakest light that comes in at the port or one of its members."""
    told = [optics for optics in connection["optics"] if optics["receive_dbm"] is not None]
    if not told:
        return Text("-")
    weakest = min(told, key=lambda optics: optics["receive_dbm"] or 0.0)
    power, alarm = weakest["receive_dbm"] or 0.0, weakest["receive_alarm_dbm"]
    return Text(f"{power:.1f} dBm", "red" if alarm is not None and power < alarm else "")


def _port_errors(connection: ConnectionDocument) -> Text:
    errors = connection["errors"]
    if errors is None:
        return Text("-")
    broken = errors["receive_errors"] + errors["transmit_errors"]
    return Text(f"{broken}/{errors['receive_dropped'] + errors['transmit_dropped']}", "yellow" if broken else "")


# What a narrow terminal does without, least needed first, and the width from which it is shown.
_FROM_WIDTH = {
    "SINCE": 150,
    "LINK": 140,
    "PREFIXES IN/OUT": 130,
    "CONNECTION": 115,
    "GATEWAY": 115,
    "IN": 90,
    "OUT": 90,
}
_SATURATED_MOST = 10
_RIGHT = {"ORDERED", "IN", "OUT", "RTT", "LOSS"}


def _virtual_interfaces(vis: list[VirtualInterfaceDocument], now: float, width: int) -> Table:
    rows = [_row(vi, now) for vi in vis]
    shown = [header for header in rows[0] if width >= _FROM_WIDTH.get(header, 0)]
    table = _table(*shown)
    for column in table.columns:
        column.justify = "right" if column.header in _RIGHT else "left"
    for row in rows:
        table.add_row(*(row[header] for header in shown))
    return table


def _row(vi: VirtualInterfaceDocument, now: float) -> dict[str, Text]:
    used = vi["used"]
    return {
        "VIRTUAL INTERFACE": Text(vi["name"], "bold"),
        "VERDICT": _verdict(vi),
        "SINCE": Text("-" if vi["since"] is None else format_seconds(max(1.0, now - vi["since"]))),
        "CONNECTION": Text(vi["connection"]),
        "GATEWAY": Text(vi["virtual_gateway"]),
        "LINK": Text(vi["interface"] or "-"),
        "ORDERED": Text("-" if vi["ordered_bps"] is None else format_rate(vi["ordered_bps"])),
        "IN": Text("-" if used is None else format_rate(used["receive_bps"])),
        "OUT": Text("-" if used is None else format_rate(used["transmit_bps"])),
        "RTT": _lines(_rtt(probe) for probe in vi["probes"]),
        "LOSS": _lines(_loss(probe) for probe in vi["probes"]),
        "BGP": Text("static") if vi["routing"] == "static" else _lines(_session(s) for s in vi["bgp"]),
        "PREFIXES IN/OUT": _lines(_prefixes(session) for session in vi["bgp"]),
    }


def _saturated(vis: list[VirtualInterfaceDocument]) -> list[str]:
    """Who was at the ordered rate lately, and for how long."""
    lately = ((vi["name"], vi["shaper"]["saturated_last_minute_seconds"]) for vi in vis if vi["shaper"] is not None)
    return [f"{name} was saturated for {seconds:.0f} s of the last minute" for name, seconds in lately if seconds >= 1]


def _print_foot(console: Console, status: Status, vis: list[VirtualInterfaceDocument]) -> None:
    passes, order = status["pass"], status["order"]
    lacking: list[str] = []
    if order["load_failed"]:
        lacking.append(f"{order['path']} was refused; the last good order is in force")
        _print_list(console, "The order file has problems:", order["problems"])
    if not status["frr"]["available"]:
        lacking.append("FRR does not answer: changes to FRR are deferred and will be retried")
    if passes["failing"]:
        lacking.append(counted(len(passes["failing"]), "operation") + " pending")
        _print_list(console, "These operations failed and will be retried:", passes["failing"])
    if passes["finished_at"] is None:
        lacking.append("the first pass is not complete")
    if any(note.startswith(NOT_ISOLATED) for note in passes["notes"]):
        lacking.append("isolation and guard are not in force")
    for verdict in GRAVITY[:-1]:
        count = sum(vi["verdict"] == verdict and vi["admin"] != PLANNED for vi in vis)
        if count:
            lacking.append(f"{counted(count, 'virtual interface')} {verdict}")
    for note in passes["notes"]:
        alarming = note.startswith(NOT_ISOLATED)
        console.print(Text(note, "bold red") if alarming else Text(f"note: {note}"))
    for line in (full := _saturated(vis))[:_SATURATED_MOST]:
        console.print(Text(f"note: {line}"))
    if len(full) > _SATURATED_MOST:
        console.print(Text(f"note: and {len(full) - _SATURATED_MOST} more were"))
    planned = sum(vi["admin"] == PLANNED for vi in vis)
    besides = f" ({planned} planned)" if planned else ""
    if lacking:
        console.print(Text(f"not as ordered: {'; '.join(lacking)}{besides}", "bold"))
    else:
        console.print(Text(f"everything as ordered{besides}", "bold green"))


def _print_list(console: Console, title: str, lines: list[str], most: int = 20) -> None:
    console.print(Text(title, "bold"))
    for line in lines[:most]:
        console.print(Padding(Text(line), (0, 0, 0, 2), expand=False))
    if len(lines) > most:
        console.print(Text(f"  and {len(lines) - most} more"))
    console.print()


def _table(*headers: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", collapse_padding=True)
    for header in headers:
        # Names and figures stay whole; on a narrow screen the others fold.
        table.add_column(header, no_wrap=header in {"VIRTUAL INTERFACE", "VERDICT", "RTT", "LOSS"}, overflow="fold")
    return table


def _lines(parts: Iterable[Text]) -> Text:
    texts = list(parts)
    return Text("\n").join(texts) if texts else Text("-")


def _verdict(vi: VirtualInterfaceDocument) -> Text:
    verdict = vi["verdict"]
    if vi["admin"] == PLANNED:
        return Text(f"{verdict} (planned)", "dim")
    return Text(verdict, STYLES[verdict])


def _rtt(probe: ProbeDocument) -> Text:
    if probe["rtt_seconds"] is None:
        return Text("-")
    rtt = format_seconds(probe["rtt_seconds"])
    return Text(f"{rtt} (router late)", "yellow") if probe["router_late_seconds"] else Text(rtt)


def _loss(probe: ProbeDocument) -> Text:
    if not probe["window_probes"]:
        return Text("-")
    share = probe["window_lost"] / probe["window_probes"]
    return Text(f"{share:.1%}" if 0 < share < 1 else f"{share:.0%}", "red" if share else "")


def _session(session: SessionDocument) -> Text:
    uptime, up = session["uptime_seconds"], session["up"]
    since = "" if uptime is None else f" {format_seconds(max(1.0, uptime))}"
    bfd = f", BFD {session['bfd']}" if up and session["bfd"] is not None else ""
    return Text(f"{session['state']}{since}{unstable(session)}{bfd}", "" if up else "red")


def unstable(session: SessionDocument) -> str:
    """What there is to say of a session that is established and not up: it was refused, and may be so again."""
    return ", not stable" if session["uptime_seconds"] is not None and not session["up"] else ""


def _prefixes(session: SessionDocument) -> Text:
    if not session["up"]:
        return Text("-")
    return Text(f"{session['prefixes']['accepted']}/{session['prefixes']['advertised']}")
