"""All at a glance, for the status page and `dcedge top`: sums over everything, and the rows that were asked for.

Thousands of rows nobody reads and no phone wants: whoever asks gets the worst ones that fit what is asked for, with
the last hour of just those.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from heapq import nsmallest
from typing import NamedTuple, Self, TypedDict

from dcedge.api.status import (
    ConnectionHeadDocument,
    FrrDocument,
    OrderDocument,
    RouterDocument,
    UsedDocument,
    connection_head_json,
    safe_text,
    status_head_json,
)
from dcedge.monitor.health.verdict import STATES, State
from dcedge.monitor.last_hour import Curves, Hour
from dcedge.monitor.snapshot import ConnectionSnapshot, Snapshot, VirtualInterfaceSnapshot

GRAVITY: tuple[State, ...] = ("down", "degraded", "pending", "drained", "up")
PLANNED = "planned"
MOST_ROWS = 500
_NOTES_MOST = 20


class Wanted(NamedTuple):
    """Which rows: of a verdict (empty: any; or `planned`), and with the text in their name, connection or gateway."""

    text: str = ""
    verdict: str = ""
    most: int = 100

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> Self:
        """What a request's parameters ask for; a number that is none asks for as many as there are by default."""
        most = query.get("most", "")
        return cls(
            query.get("text", ""),
            query.get("verdict", ""),
            int(most) if most.isascii() and most.isdecimal() and len(most) < 6 else cls().most,
        )


class RowDocument(TypedDict):
    """One virtual interface in short. Round trip and loss are the worst of its address families' now.

    `…_hour`: the last hour, a point a minute, the last one of the minute just past.
    """

    name: str
    connection: str
    virtual_gateway: str
    admin: str
    verdict: str
    reason: str
    since: float | None
    ordered_bps: int | None
    used: UsedDocument | None
    rtt_seconds: float | None
    loss: float | None
    routing: str
    sessions_up: int
    sessions: int
    rtt_hour_seconds: list[float | None]
    loss_hour: list[float | None]


class LineDocument(ConnectionHeadDocument):
    """One connection in short, with its virtual interfaces by verdict and what those carry."""

    verdicts: dict[str, int]
    receive_bps: float
    transmit_bps: float


class GatewayDocument(TypedDict):
    """One virtual gateway in short: its virtual interfaces by verdict and what those carry."""

    name: str
    verdicts: dict[str, int]
    receive_bps: float
    transmit_bps: float


class Overview(TypedDict):
    """The whole. `matching`: how many virtual interfaces fit what was asked for, of which the worst are listed.

    `verdicts` counts all but the planned ones, which nobody is to be alarmed by.
    """

    router: RouterDocument
    frr: FrrDocument
    order: OrderDocument
    verdicts: dict[str, int]
    planned: int
    failing: list[str]
    notes: list[str]
    connections: list[LineDocument]
    virtual_gateways: list[GatewayDocument]
    matching: int
    virtual_interfaces: list[RowDocument]


class _Sum:
    """What a number of virtual interfaces come to."""

    def __init__(self) -> None:
        self.verdicts = dict.fromkeys(STATES, 0)
        self.receive_bps = self.transmit_bps = 0.0

    def add(self, vi: VirtualInterfaceSnapshot) -> None:
        self.verdicts[vi.verdict.state] += 1
        if vi.used is not None:
            self.receive_bps += vi.used.receive_bps
            self.transmit_bps += vi.used.transmit_bps

    def nonzero(self) -> dict[str, int]:
        """The counts that are not zero, worst first."""
        return {state: self.verdicts[state] for state in GRAVITY if self.verdicts[state]}


def overview_json(snapshot: Snapshot, hour: Hour, wanted: Wanted) -> Overview:
    """The overview as plain JSON values."""
    everything, planned = _Sum(), 0
    by_connection: dict[str, _Sum] = {connection.name: _Sum() for connection in snapshot.connections}
    by_gateway: dict[str, _Sum] = {}
    for vi in snapshot.virtual_interfaces:
        by_connection.setdefault(vi.connection, _Sum()).add(vi)
        by_gateway.setdefault(vi.virtual_gateway, _Sum()).add(vi)
        if vi.admin == PLANNED:
            planned += 1
        else:
            everything.add(vi)
    matching = list(_matching(snapshot.virtual_interfaces, wanted))
    most = min(max(wanted.most, 0), MOST_ROWS)
    worst = nsmallest(most, matching, key=lambda vi: (vi.admin == PLANNED, GRAVITY.index(vi.verdict.state), vi.name))
    head = status_head_json(snapshot)
    return {
        "router": head["router"],
        "frr": head["frr"],
        "order": head["order"],
        "verdicts": everything.nonzero(),
        "planned": planned,
        "failing": head["pass"]["failing"][:_NOTES_MOST],
        "notes": head["pass"]["notes"][:_NOTES_MOST],
        "connections": [_line(connection, by_connection) for connection in snapshot.connections],
        "virtual_gateways": [_gateway(name, total) for name, total in sorted(by_gateway.items())],
        "matching": len(matching),
        "virtual_interfaces": [_row(vi, hour.curves(vi.name)) for vi in worst],
    }


def _matching(vis: Iterable[VirtualInterfaceSnapshot], wanted: Wanted) -> Iterable[VirtualInterfaceSnapshot]:
    words = wanted.text.casefold().split()
    for vi in vis:
        if wanted.verdict and wanted.verdict != (PLANNED if vi.admin == PLANNED else vi.verdict.state):
            continue
        if all(word in vi.name or word in vi.connection or word in vi.virtual_gateway for word in words):
            yield vi


def _line(connection: ConnectionSnapshot, sums: Mapping[str, _Sum]) -> LineDocument:
    total = sums[connection.name]
    return {
        **connection_head_json(connection),
        "verdicts": total.nonzero(),
        "receive_bps": round(total.receive_bps),
        "transmit_bps": round(total.transmit_bps),
    }


def _gateway(name: str, total: _Sum) -> GatewayDocument:
    return {
        "name": name,
        "verdicts": total.nonzero(),
        "receive_bps": round(total.receive_bps),
        "transmit_bps": round(total.transmit_bps),
    }


def _row(vi: VirtualInterfaceSnapshot, curves: Curves) -> RowDocument:
    trips = [probe.rtt_average for probe in vi.probes]
    losses = [probe.window_lost / probe.window_probes for probe in vi.probes if probe.window_probes]
    return {
        "name": vi.name,
        "connection": vi.connection,
        "virtual_gateway": vi.virtual_gateway,
        "admin": vi.admin,
        "verdict": vi.verdict.state,
        "reason": safe_text(vi.verdict.reason),
        "since": vi.since,
        "ordered_bps": vi.ordered_bps,
        "used": None
        if vi.used is None
        else {"receive_bps": round(vi.used.receive_bps), "transmit_bps": round(vi.used.transmit_bps)},
        "rtt_seconds": max((trip for trip in trips if trip is not None), default=None),
        "loss": max(losses, default=None),
        "routing": "static" if vi.static else "bgp",
        "sessions_up": sum(session.up for session in vi.sessions),
        "sessions": len(vi.sessions),
        "rtt_hour_seconds": list(curves.rtt),
        "loss_hour": list(curves.loss),
    }
