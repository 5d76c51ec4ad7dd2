"""What `dcedge status --json` and the control socket give: a snapshot as JSON. Its shape is stable.

Keys end in their unit; null means "not known". Text that a peer supplied is escaped here, for every reader, and secrets
are hidden in what FRR or anybody else says. Names are left as they are: whoever reads them looks things up by them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import TypedDict

from dcedge.api.own_loss_document import OwnLossDocument, own_loss_json
from dcedge.api.probes import ProbeDocument, StampDocument, probe_json, stamp_json
from dcedge.frr.state import escape
from dcedge.kernel.counters import LinkCounters
from dcedge.kernel.port.optics import Optics
from dcedge.logging.masking import hide
from dcedge.monitor.health.tracker import Transition
from dcedge.monitor.snapshot import ConnectionSnapshot, SessionSnapshot, Snapshot, VirtualInterfaceSnapshot

_INTERFACES_A_CHUNK = 50


def safe_text(text: str) -> str:
    """Text that is not all our own, as it may be told: without secrets, and escaped (after that, which shortens it)."""
    return escape(hide(text))


class RouterDocument(TypedDict):
    """This router and the agent on it."""

    hostname: str
    asn: int
    router_id: str
    version: str
    taken_at: float


class FrrDocument(TypedDict):
    """Whether FRR answers, what of it does not, and its version as far as it is known."""

    available: bool
    detail: str
    version: str | None


class OpticsDocument(TypedDict):
    """One transceiver; power in dBm, of its weakest lane."""

    port: str
    vendor: str
    part: str
    serial: str
    receive_dbm: float | None
    transmit_dbm: float | None
    receive_alarm_dbm: float | None
    transmit_alarm_dbm: float | None
    alarms: list[str]


class MemberDocument(TypedDict):
    """One member of a bond: whether a partner is heard on it by LACP, and whether both ends carry traffic on it."""

    port: str
    carrier: bool
    carrier_changes: int
    partner_heard: bool | None
    in_use: bool | None


class PortErrorsDocument(TypedDict):
    """What a port counted of frames in error and of frames it had to drop."""

    receive_errors: int
    transmit_errors: int
    receive_dropped: int
    transmit_dropped: int


class ConnectionHeadDocument(TypedDict):
    """What is said of a connection wherever it is spoken of."""

    name: str
    provider: str
    port: str
    over: str | None
    bandwidth_bps: int
    present: bool
    carrier: bool | None
    circuit_id: str
    description: str


class ConnectionDocument(ConnectionHeadDocument):
    """One connection."""

    carrier_changes: int | None
    speed_mbps: int | None
    duplex: str | None
    errors: PortErrorsDocument | None
    optics: list[OpticsDocument]
    members: list[MemberDocument]


class PrefixesDocument(TypedDict):
    """Prefix counts of one session."""

    received: int | None
    accepted: int
    advertised: int


class SessionDocument(TypedDict):
    """One BGP session. `up`: established, and not just between two refusals."""

    peer: str
    family: str
    state: str
    up: bool
    uptime_seconds: float | None
    prefixes: PrefixesDocument
    transitions: int
    last_reset: str | None
    earlier_reset: str | None
    bfd: str | None


class UsedDocument(TypedDict):
    """What a link carries now."""

    receive_bps: float
    transmit_bps: float


class CountersDocument(TypedDict):
    """A link's counters."""

    receive_bytes: int
    receive_packets: int
    receive_errors: int
    transmit_bytes: int
    transmit_packets: int
    transmit_errors: int


class ShaperDocument(TypedDict):
    """A shaper. Saturated: the seconds of the last minute that it was at the ordered rate, and all of them so far."""

    queue: str
    sent_bytes: int
    sent_packets: int
    dropped_packets: int
    marked_packets: int
    backlog_bytes: int
    requeues: int
    saturated_last_minute_seconds: float
    saturated_seconds: float


class VirtualInterfaceDocument(TypedDict):
    """One virtual interface. `probe` is that of its first address, `probes` are all."""

    name: str
    connection: str
    virtual_gateway: str
    admin: str
    verdict: str
    reason: str
    layer: str
    side: str
    since: float | None
    interface: str | None
    ordered_bps: int | None
    used: UsedDocument | None
    preference: str
    routing: str
    bgp: list[SessionDocument]
    probe: ProbeDocument | None
    probes: list[ProbeDocument]
    counters: CountersDocument | None
    shaper: ShaperDocument | None
    failing: list[str]
    own_losses: list[OwnLossDocument]


class TransitionDocument(TypedDict):
    """A change of a virtual interface's verdict."""

    at: float
    before: str
    after: str
    reason: str


def transition_json(transition: Transition) -> TransitionDocument:
    """A transition as plain JSON values."""
    return {
        "at": transition.at,
        "before": transition.before,
        "after": transition.after,
        "reason": safe_text(transition.reason),
    }


NOT_ISOLATED = "NOT ISOLATED"  # how the note begins that says why the firewall is not in force
NOT_GUARDED = "not guarded"  # the same where no isolation is ordered: all that was ordered is there


class PassDocument(TypedDict):
    """The last pass, and drift so far."""

    finished_at: float | None
    duration_seconds: float | None
    operations: int
    failing: list[str]
    notes: list[str]
    drift_repaired: dict[str, int]


class OrderDocument(TypedDict):
    """The order in force, and why the file was refused where it was."""

    path: str
    applied_at: float | None
    load_failed: bool
    problems: list[str]
    file_differs: bool


# `pass` is a word of Python's, so no class can have it as a key.
Status = TypedDict(
    "Status",
    {
        "router": RouterDocument,
        "frr": FrrDocument,
        "connections": list[ConnectionDocument],
        "virtual_interfaces": list[VirtualInterfaceDocument],
        "stamp": list[StampDocument],
        "pass": PassDocument,
        "order": OrderDocument,
    },
)


def status_json(snapshot: Snapshot) -> Status:
    """The snapshot as plain JSON values."""
    passes = snapshot.passes
    return {
        "router": {
            "hostname": snapshot.router.hostname,
            "asn": snapshot.router.asn,
            "router_id": snapshot.router.router_id,
            "version": snapshot.version,
            "taken_at": snapshot.taken,
        },
        "frr": {
            "available": snapshot.frr.available,
            "detail": safe_text(snapshot.frr.detail),
            "version": None if snapshot.frr.version is None else escape(snapshot.frr.version),
        },
        "connections": [connection_json(connection) for connection in snapshot.connections],
        "virtual_interfaces": [virtual_interface_json(vi) for vi in snapshot.virtual_interfaces],
        "stamp": [stamp_json(stamp) for stamp in snapshot.stamps],
        "pass": {
            "finished_at": passes.finished,
            "duration_seconds": passes.duration,
            "operations": passes.operations,
            "failing": [safe_text(text) for text in passes.failing],
            "notes": [safe_text(text) for text in passes.notes],
            "drift_repaired": dict(passes.drift_repaired),
        },
        "order": {
            "path": snapshot.order.path,
            "applied_at": snapshot.order.applied,
            "load_failed": snapshot.order.load_failed,
            "problems": [safe_text(text) for text in snapshot.order.problems],
            "file_differs": snapshot.order.differs,
        },
    }


def status_head_json(snapshot: Snapshot) -> Status:
    """The snapshot without what there are many of."""
    return status_json(replace(snapshot, connections=(), virtual_interfaces=(), stamps=()))


def status_chunks(snapshot: Snapshot) -> Iterator[bytes]:
    """The snapshot as JSON text, in pieces of some 100 kB: the whole is 6 MB at 4,000 virtual interfaces."""
    rest = status_json(replace(snapshot, virtual_interfaces=()))
    begun = b"{"
    for key, value in rest.items():
        yield begun + _dump(key) + b":"
        begun = b","
        if key == "virtual_interfaces":
            yield from _list_chunks(map(virtual_interface_json, snapshot.virtual_interfaces))
        else:
            yield _dump(value)
    yield b"}"


def _list_chunks(items: Iterator[VirtualInterfaceDocument]) -> Iterator[bytes]:
    begun = b"["
    while some := list(islice(items, _INTERFACES_A_CHUNK)):
        yield begun + _dump(some)[1:-1]
        begun = b","
    yield b"]" if begun == b"," else b"[]"


def _dump(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def connection_head_json(connection: ConnectionSnapshot) -> ConnectionHeadDocument:
    """What a connection is, as plain JSON values."""
    return {
        "name": connection.name,
        "provider": connection.provider,
        "port": connection.port,
        "over": connection.over,
        "bandwidth_bps": connection.bandwidth_bps,
        "present": connection.present,
        "carrier": connection.carrier,
        "circuit_id": connection.circuit_id,
        "description": connection.description,
    }


def connection_json(connection: ConnectionSnapshot) -> ConnectionDocument:
    """A connection as plain JSON values."""
    counters = connection.counters
    return {
        **connection_head_json(connection),
        "carrier_changes": None if counters is None else counters.carrier_changes,
        "speed_mbps": None if connection.mode is None else connection.mode.speed_mbps,
        "duplex": None if connection.mode is None else connection.mode.duplex,
        "errors": None
        if counters is None
        else {
            "receive_errors": counters.receive_errors,
            "transmit_errors": counters.transmit_errors,
            "receive_dropped": counters.receive_dropped,
            "transmit_dropped": counters.transmit_dropped,
        },
        "optics": [optics_json(port, optics) for port, optics in connection.optics],
        "members": [_member(port, link, counters) for port, link in connection.members],
    }


def optics_json(port: str, optics: Optics) -> OpticsDocument:
    """A transceiver as plain JSON values."""
    return {
        "port": port,
        "vendor": escape(optics.vendor),
        "part": escape(optics.part),
        "serial": escape(optics.serial),
        "receive_dbm": _rounded(optics.receive_dbm),
        "transmit_dbm": _rounded(optics.transmit_dbm),
        "receive_alarm_dbm": _rounded(optics.receive_alarm_dbm),
        "transmit_alarm_dbm": _rounded(optics.transmit_alarm_dbm),
        "alarms": list(optics.alarms),
    }


def _rounded(dbm: float | None) -> float | None:
    return None if dbm is None else round(dbm, 2)


def _member(port: str, link: LinkCounters, bond: LinkCounters | None) -> MemberDocument:
    joined = link.member
    return {
        "port": port,
        "carrier": link.carrier,
        "carrier_changes": link.carrier_changes,
        "partner_heard": None if joined is None else joined.partner_heard,
        "in_use": None if joined is None or bond is None else joined.in_use(bond.active_aggregator),
    }


def virtual_interface_json(vi: VirtualInterfaceSnapshot) -> VirtualInterfaceDocument:
    """A virtual interface as plain JSON values."""
    probes = [probe_json(probe) for probe in vi.probes]
    counters, shaper = vi.counters, vi.shaper
    return {
        "name": vi.name,
        "connection": vi.connection,
        "virtual_gateway": vi.virtual_gateway,
        "admin": vi.admin,
        "verdict": vi.verdict.state,
        "reason": safe_text(vi.verdict.reason),
        "layer": vi.verdict.layer,
        "side": vi.verdict.side,
        "since": vi.since,
        "interface": vi.interface,
        "ordered_bps": vi.ordered_bps,
        "used": None if vi.used is None else {"receive_bps": vi.used.receive_bps, "transmit_bps": vi.used.transmit_bps},
        "preference": vi.preference,
        "routing": "static" if vi.static else "bgp",
        "bgp": [_session(session) for session in vi.sessions],
        "probe": probes[0] if probes else None,
        "probes": probes,
        "counters": None
        if counters is None
        else {
            "receive_bytes": counters.receive_bytes,
            "receive_packets": counters.receive_packets,
            "receive_errors": counters.receive_errors,
            "transmit_bytes": counters.transmit_bytes,
            "transmit_packets": counters.transmit_packets,
            "transmit_errors": counters.transmit_errors,
        },
        "shaper": None
        if shaper is None
        else {
            "queue": shaper.kind,
            "sent_bytes": shaper.sent_bytes,
            "sent_packets": shaper.sent_packets,
            "dropped_packets": shaper.dropped_packets,
            "marked_packets": shaper.marked_packets,
            "backlog_bytes": shaper.backlog_bytes,
            "requeues": shaper.requeues,
            "saturated_last_minute_seconds": vi.saturated.lately if vi.saturated is not None else 0.0,
            "saturated_seconds": vi.saturated.total if vi.saturated is not None else 0.0,
        },
        "failing": [safe_text(text) for text in vi.failing],
        "own_losses": [own_loss_json(loss) for loss in vi.own_losses],
    }


def _session(session: SessionSnapshot) -> SessionDocument:
    return {
        "peer": session.peer,
        "family": session.family,
        "state": escape(session.state),
        "up": session.up,
        "uptime_seconds": session.uptime,
        "prefixes": {
            "received": session.received,
            "accepted": session.accepted,
            "advertised": session.advertised,
        },
        "transitions": session.transitions,
        "last_reset": None if session.last_reset is None else safe_text(session.last_reset),
        "earlier_reset": None if session.earlier_reset is None else safe_text(session.earlier_reset),
        "bfd": session.bfd,
    }
