"""Every metric of virtual interfaces, sessions, probes, ports and connections: one row a family."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from dcedge.api.metrics.family import (
    AnyTable,
    Distribution,
    Information,
    LabelValues,
    MetricTable,
    Split,
    counter,
    gauge,
)
from dcedge.kernel.counters import FAULTS, LinkCounters
from dcedge.kernel.port.optics import Optics
from dcedge.kernel.softnet import SoftnetCounters
from dcedge.monitor.health.verdict import STATES
from dcedge.monitor.snapshot import ConnectionSnapshot, SessionSnapshot, Snapshot, VirtualInterfaceSnapshot
from dcedge.probe.prober import ProberStats
from dcedge.probe.stamp import StampStats
from dcedge.probe.stream import ProbeStats

_VI_LABELS = ("virtual_interface", "connection", "virtual_gateway")
_WAYS = ("receive", "transmit")


def _vi_values(vi: VirtualInterfaceSnapshot) -> LabelValues:
    return vi.name, vi.connection, vi.virtual_gateway


def _virtual_interfaces(snapshot: Snapshot) -> Iterator[tuple[LabelValues, VirtualInterfaceSnapshot]]:
    return ((_vi_values(vi), vi) for vi in snapshot.virtual_interfaces)


def _sessions(snapshot: Snapshot) -> Iterator[tuple[LabelValues, SessionSnapshot]]:
    for vi in snapshot.virtual_interfaces:
        for session in vi.sessions:
            yield (*_vi_values(vi), session.family, session.peer), session


def _probes(snapshot: Snapshot) -> Iterator[tuple[LabelValues, ProbeStats]]:
    for vi in snapshot.virtual_interfaces:
        for probe in vi.probes:
            yield (*_vi_values(vi), probe.family), probe


def _stamp_paths(snapshot: Snapshot) -> Iterator[tuple[LabelValues, StampStats]]:
    if not snapshot.stamps:
        return
    values = {vi.name: _vi_values(vi) for vi in snapshot.virtual_interfaces}
    for path in snapshot.stamps:
        if path.virtual_interface in values:
            yield (*values[path.virtual_interface], path.destination), path


def _prober(snapshot: Snapshot) -> Iterator[tuple[LabelValues, ProberStats]]:
    if snapshot.prober is not None:
        yield (), snapshot.prober


def _ports(snapshot: Snapshot) -> Iterator[tuple[LabelValues, LinkCounters]]:
    """The ports themselves: a hosted connection is a share of another one's."""
    for connection in snapshot.connections:
        if connection.counters is not None and connection.over is None:
            yield (connection.name, connection.port), connection.counters


def _faults(counters: LinkCounters) -> list[float]:
    counted = dict(counters.faults)
    return [counted.get(name, 0) for name in FAULTS]


def _connections(snapshot: Snapshot) -> Iterator[tuple[LabelValues, ConnectionSnapshot]]:
    return (((c.name, c.port, c.provider), c) for c in snapshot.connections)


def _transceivers(snapshot: Snapshot) -> Iterator[tuple[LabelValues, Optics]]:
    for connection in snapshot.connections:
        for port, optics in connection.optics:
            yield (connection.name, port), optics


def _link(attribute: str) -> Callable[[VirtualInterfaceSnapshot], float | None]:
    """A counter of a virtual interface's link."""

    def of(vi: VirtualInterfaceSnapshot) -> float | None:
        value: float | None = None if vi.counters is None else getattr(vi.counters, attribute)
        return value

    return of


def _shaper(attribute: str) -> Callable[[VirtualInterfaceSnapshot], float | None]:
    """A figure of a virtual interface's shaper."""

    def of(vi: VirtualInterfaceSnapshot) -> float | None:
        value: float | None = None if vi.shaper is None else getattr(vi.shaper, attribute)
        return value

    return of


def _limits(session: SessionSnapshot) -> tuple[int | None, int | None]:
    return (None, None) if session.ordered is None else (session.ordered.receive_limit, session.ordered.advertise_limit)


def _bfd_up(session: SessionSnapshot) -> bool | None:
    return None if session.bfd in {None, "unknown"} else session.bfd == "up"


def _dbm(*powers: float | None) -> tuple[float | None, ...]:
    """As precise as a transceiver is."""
    return tuple(None if power is None else round(power, 2) for power in powers)


VIRTUAL_INTERFACES: MetricTable[VirtualInterfaceSnapshot] = MetricTable(
    _VI_LABELS,
    _virtual_interfaces,
    (
        Information(
            "dcedge_virtual_interface_info",
            "What a virtual interface is: its link, how it is used and routed.",
            ("interface", "admin", "preference", "routing"),
            lambda vi: (vi.interface or "", vi.admin, vi.preference, "static" if vi.static else "bgp"),
        ),
        gauge(
            "dcedge_virtual_interface_up",
            "Whether it carries traffic (1: up or degraded; 0: down, drained, pending).",
            lambda vi: vi.verdict.carries,
        ),
        Split(
            "dcedge_virtual_interface_verdict",
            "gauge",
            "The verdict: 1 for the state it is in, 0 for the others.",
            "verdict",
            STATES,
            lambda vi: [vi.verdict.state == state for state in STATES],
        ),
        gauge(
            "dcedge_virtual_interface_verdict_since_timestamp_seconds",
            "When its current verdict began.",
            lambda vi: vi.since,
        ),
        gauge(
            "dcedge_virtual_interface_ordered_bytes_per_second",
            "The ordered bandwidth.",
            lambda vi: None if vi.ordered_bps is None else vi.ordered_bps / 8,
        ),
        gauge(
            "dcedge_virtual_interface_failing_operations",
            "Operations on it that fail.",
            lambda vi: len(vi.failing),
        ),
        counter("dcedge_interface_receive_bytes_total", "Bytes that the link received.", _link("receive_bytes")),
        counter("dcedge_interface_receive_packets_total", "Packets that the link received.", _link("receive_packets")),
        counter("dcedge_interface_receive_errors_total", "Errors while the link received.", _link("receive_errors")),
        counter("dcedge_interface_transmit_bytes_total", "Bytes that the link sent.", _link("transmit_bytes")),
        counter("dcedge_interface_transmit_packets_total", "Packets that the link sent.", _link("transmit_packets")),
        counter("dcedge_interface_transmit_errors_total", "Errors while the link sent.", _link("transmit_errors")),
        counter("dcedge_shaper_sent_bytes_total", "Frame bytes that the shaper let through.", _shaper("sent_bytes")),
        counter("dcedge_shaper_sent_packets_total", "Packets that the shaper let through.", _shaper("sent_packets")),
        counter(
            "dcedge_shaper_dropped_packets_total",
            "Packets that the shaper's queue dropped.",
            _shaper("dropped_packets"),
        ),
        counter(
            "dcedge_shaper_marked_packets_total",
            "Packets that the shaper's queue marked with ECN.",
            _shaper("marked_packets"),
        ),
        counter(
            "dcedge_shaper_requeues_total",
            "Packets requeued because the device below was full.",
            _shaper("requeues"),
        ),
        gauge("dcedge_shaper_backlog_bytes", "Bytes that wait in the shaper's queue.", _shaper("backlog_bytes")),
        counter(
            "dcedge_shaper_saturated_seconds_total",
            "Seconds in which the shaper sent at the ordered rate, or dropped packets.",
            lambda vi: None if vi.saturated is None else vi.saturated.total,
        ),
    ),
)

SESSIONS: MetricTable[SessionSnapshot] = MetricTable(
    (*_VI_LABELS, "family", "peer"),
    _sessions,
    (
        gauge("dcedge_bgp_session_up", "Whether the BGP session is established.", lambda s: s.up),
        gauge(
            "dcedge_bgp_session_uptime_seconds",
            "How long the BGP session has been established.",
            lambda s: s.uptime,
        ),
        Split(
            "dcedge_bgp_prefixes",
            "gauge",
            "Prefixes that the BGP session carries.",
            "direction",
            ("received", "accepted", "advertised"),
            lambda s: (s.received, s.accepted, s.advertised),
        ),
        Split(
            "dcedge_bgp_prefix_limit",
            "gauge",
            "Prefixes that the BGP session may carry; over it the session is torn down.",
            "direction",
            ("accepted", "advertised"),
            _limits,
        ),
        counter("dcedge_bgp_session_transitions_total", "How often the BGP session was lost.", lambda s: s.transitions),
        gauge("dcedge_bfd_session_up", "Whether the BFD session is up, where BFD is ordered.", _bfd_up),
    ),
)

PROBES: MetricTable[ProbeStats] = MetricTable(
    (*_VI_LABELS, "family"),
    _probes,
    (
        Distribution(
            "dcedge_probe_rtt_seconds",
            "Round trips to the cloud's side, from the kernel's timestamps.",
            lambda p: p.histogram,
        ),
        counter("dcedge_probe_sent_total", "Echo requests sent.", lambda p: p.sent),
        counter("dcedge_probe_lost_total", "Echo requests without a reply in time.", lambda p: p.lost),
        counter(
            "dcedge_probe_late_total", "Replies that came after their request was counted as lost.", lambda p: p.late
        ),
        counter("dcedge_probe_duplicates_total", "Duplicate replies.", lambda p: p.duplicates),
        counter("dcedge_probe_reordered_total", "Reordered replies.", lambda p: p.reordered),
        counter("dcedge_probe_send_errors_total", "Echo requests that could not be sent.", lambda p: p.send_errors),
        gauge(
            "dcedge_probe_jitter_seconds",
            "Jitter of the round trips, smoothed as in RFC 3550.",
            lambda p: p.jitter,
        ),
        gauge(
            "dcedge_probe_full_size_answered",
            "Whether the last full-size probe with DF set was answered.",
            lambda p: p.full_size_answered,
        ),
        gauge(
            "dcedge_probe_interval_seconds",
            "The interval in force; a connection's probe budget may have stretched it.",
            lambda p: p.interval,
        ),
    ),
)

PROBER: MetricTable[ProberStats] = MetricTable(
    (),
    _prober,
    (
        counter("dcedge_probe_strays_total", "Echo replies that match no request.", lambda p: p.strays),
        counter("dcedge_probe_overflows_total", "Replies that the kernel dropped unread.", lambda p: p.overflows),
    ),
)

STAMP_PATHS: MetricTable[StampStats] = MetricTable(
    (*_VI_LABELS, "peer"),
    _stamp_paths,
    (
        Split(
            "dcedge_stamp_delay_seconds",
            "gauge",
            "Mean delay by STAMP; of one direction only where both clocks are set.",
            "direction",
            ("round_trip", "forward", "backward"),
            lambda s: (s.round_trip, s.forward, s.backward),
        ),
        counter("dcedge_stamp_sent_total", "STAMP's test packets sent.", lambda s: s.sent),
        counter("dcedge_stamp_lost_total", "STAMP's test packets without a reflection in time.", lambda s: s.lost),
        Split(
            "dcedge_stamp_lost_in_direction_total",
            "counter",
            "Lost test packets whose direction is known.",
            "direction",
            ("forward", "backward"),
            lambda s: (s.lost_forward, s.lost_backward),
        ),
    ),
)

PORTS: MetricTable[LinkCounters] = MetricTable(
    ("connection", "port"),
    _ports,
    (
        counter("dcedge_port_receive_bytes_total", "Bytes that the link received.", lambda c: c.receive_bytes),
        counter("dcedge_port_receive_packets_total", "Packets that the link received.", lambda c: c.receive_packets),
        counter("dcedge_port_receive_errors_total", "Errors while the link received.", lambda c: c.receive_errors),
        counter("dcedge_port_transmit_bytes_total", "Bytes that the link sent.", lambda c: c.transmit_bytes),
        counter("dcedge_port_transmit_packets_total", "Packets that the link sent.", lambda c: c.transmit_packets),
        counter("dcedge_port_transmit_errors_total", "Errors while the link sent.", lambda c: c.transmit_errors),
        Split(
            "dcedge_port_lost_packets_total",
            "counter",
            "Packets that the port itself lost, by the kernel's counter.",
            "counter",
            FAULTS,
            _faults,
        ),
    ),
)

PROCESSORS: MetricTable[SoftnetCounters] = MetricTable(
    ("cpu",),
    lambda snapshot: (((str(one.processor),), one) for one in snapshot.softnet),
    (
        counter(
            "dcedge_softnet_processed_packets_total", "Packets that the processor received.", lambda s: s.processed
        ),
        counter(
            "dcedge_softnet_dropped_packets_total",
            "Packets that the processor dropped because the kernel's backlog was full.",
            lambda s: s.dropped,
        ),
        counter(
            "dcedge_softnet_time_squeezed_total",
            "How often the processor's time for received packets ended with some left.",
            lambda s: s.time_squeezed,
        ),
    ),
)

CONNECTIONS: MetricTable[ConnectionSnapshot] = MetricTable(
    ("connection", "port", "provider"),
    _connections,
    (
        gauge("dcedge_connection_carrier", "Whether the connection's port has a carrier.", lambda c: c.carrier),
        counter(
            "dcedge_connection_carrier_changes_total",
            "Carrier changes of the port.",
            lambda c: None if c.counters is None else c.counters.carrier_changes,
        ),
        gauge(
            "dcedge_connection_ordered_bytes_per_second",
            "The connection's bandwidth as ordered.",
            lambda c: c.bandwidth_bps / 8,
        ),
        gauge(
            "dcedge_connection_speed_bytes_per_second",
            "The speed that the two ends of the connection's port agreed on, where the driver tells it.",
            lambda c: None if c.speed_bps is None else c.speed_bps / 8,
        ),
        gauge(
            "dcedge_connection_half_duplex",
            "Whether the connection's port runs at half duplex, where the driver tells it.",
            lambda c: None if c.mode is None or c.mode.duplex is None else c.mode.duplex == "half",
        ),
    ),
)

TRANSCEIVERS: MetricTable[Optics] = MetricTable(
    ("connection", "port"),
    _transceivers,
    (
        Split(
            "dcedge_connection_optical_power_dbm",
            "gauge",
            "Optical power of the transceiver's weakest lane.",
            "direction",
            _WAYS,
            lambda o: _dbm(o.receive_dbm, o.transmit_dbm),
        ),
        Split(
            "dcedge_connection_optical_low_alarm_dbm",
            "gauge",
            "Optical power below which the transceiver raises an alarm.",
            "direction",
            _WAYS,
            lambda o: _dbm(o.receive_alarm_dbm, o.transmit_alarm_dbm),
        ),
        gauge("dcedge_connection_optical_alarms", "Alarms that the transceiver raises.", lambda o: len(o.alarms)),
    ),
)

TABLES: tuple[AnyTable, ...] = (
    VIRTUAL_INTERFACES,
    SESSIONS,
    PROBES,
    PROBER,
    STAMP_PATHS,
    PORTS,
    PROCESSORS,
    CONNECTIONS,
    TRANSCEIVERS,
)
