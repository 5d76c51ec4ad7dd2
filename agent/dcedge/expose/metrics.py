"""Prometheus' text format and OpenMetrics, rendered without an object a sample.

Label text is made once a virtual interface and render, and shared by all families; a histogram is one format
string filled in at one stroke. Chunks come one by one, so that a server can let the event loop run in between
and the whole (some 25 MB at 4,000 virtual interfaces) never has to be in memory at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, islice
from typing import Literal, NamedTuple

from dcedge.expose.snapshot import ConnectionSnapshot, Snapshot, VirtualInterfaceSnapshot
from dcedge.health.verdict import STATES
from dcedge.probe.histogram import BOUNDS, Histogram, HistogramCounts
from dcedge.probe.stamp import StampStats

TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_LINES_A_CHUNK = 4_000
_HISTOGRAMS_A_CHUNK = 200

Kind = Literal["gauge", "counter", "histogram", "info"]


class Family(NamedTuple):
    """One metric family. `name` is that of its samples in the text format (counters with `_total`)."""

    name: str
    kind: Kind
    help: str


class _Labelled(NamedTuple):
    """A virtual interface with its label text."""

    vi: VirtualInterfaceSnapshot
    labels: str


def render(snapshot: Snapshot, openmetrics: bool = False) -> bytes:
    """The whole exposition."""
    return b"".join(render_chunks(snapshot, openmetrics))


def render_chunks(snapshot: Snapshot, openmetrics: bool = False) -> Iterator[bytes]:
    """The exposition in pieces of at most some 700 kB."""
    for family, lines in _families(snapshot):
        yield _header(family, openmetrics)
        size = _HISTOGRAMS_A_CHUNK if family.kind == "histogram" else _LINES_A_CHUNK
        while chunk := "".join(islice(lines, size)):
            yield chunk.encode()
    if openmetrics:
        yield b"# EOF\n"


def escape(value: str) -> str:
    """A label's value, escaped."""
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _header(family: Family, openmetrics: bool) -> bytes:
    name, kind, _ = family
    if openmetrics:
        name = name.removesuffix("_total") if kind == "counter" else name
        name = name.removesuffix("_info") if kind == "info" else name
    elif kind == "info":
        kind = "gauge"
    unit = next((u for u in ("seconds", "bytes") if openmetrics and name.endswith(f"_{u}")), None)
    text = f"# HELP {name} {family.help}\n# TYPE {name} {kind}\n"
    return (text + (f"# UNIT {name} {unit}\n" if unit else "")).encode()


def _families(snapshot: Snapshot) -> Iterator[tuple[Family, Iterator[str]]]:
    vis = [_Labelled(vi, _vi_labels(vi)) for vi in snapshot.virtual_interfaces]
    yield from _verdicts(vis)
    yield from _sessions(vis)
    yield from _probes(vis)
    yield from _stamps(vis, snapshot.stamps)
    yield from _traffic(vis, snapshot.connections)
    yield from _connections(snapshot.connections)
    yield from _daemon(snapshot)
    yield from _process(snapshot)


def _vi_labels(vi: VirtualInterfaceSnapshot) -> str:
    return (
        f'virtual_interface="{escape(vi.name)}",connection="{escape(vi.connection)}"'
        f',virtual_gateway="{escape(vi.virtual_gateway)}"'
    )


def _verdicts(vis: list[_Labelled]) -> Iterator[tuple[Family, Iterator[str]]]:
    name = "dcedge_virtual_interface_info"
    yield Family(name, "info", "What a virtual interface is: its link, how it is used and routed."), (
        f'{name}{{{labels},interface="{escape(vi.interface or "")}",admin="{vi.admin}"'
        f',preference="{vi.preference}",routing="{"static" if vi.static else "bgp"}"}} 1\n'
        for vi, labels in vis
    )  # fmt: skip
    name = "dcedge_virtual_interface_up"
    yield (
        Family(name, "gauge", "Whether it carries traffic (1: up or degraded; 0: down, drained, pending)."),
        (f"{name}{{{labels}}} {1 if vi.verdict.state in {'up', 'degraded'} else 0}\n" for vi, labels in vis),
    )
    name = "dcedge_virtual_interface_verdict"
    yield (
        Family(name, "gauge", "The verdict: 1 for the state it is in, 0 for the others."),
        (
            f'{name}{{{labels},verdict="{state}"}} {1 if vi.verdict.state == state else 0}\n'
            for vi, labels in vis
            for state in STATES
        ),
    )
    name = "dcedge_virtual_interface_verdict_since_timestamp_seconds"
    yield (
        Family(name, "gauge", "When the state it is in began."),
        (f"{name}{{{labels}}} {vi.since!r}\n" for vi, labels in vis if vi.since is not None),
    )
    name = "dcedge_virtual_interface_ordered_bytes_per_second"
    yield (
        Family(name, "gauge", "The ordered bandwidth."),
        (f"{name}{{{labels}}} {vi.ordered_bps / 8!r}\n" for vi, labels in vis if vi.ordered_bps is not None),
    )
    name = "dcedge_virtual_interface_failing_operations"
    yield (
        Family(name, "gauge", "Operations on it that do not succeed."),
        (f"{name}{{{labels}}} {len(vi.failing)}\n" for vi, labels in vis),
    )


def _sessions(vis: list[_Labelled]) -> Iterator[tuple[Family, Iterator[str]]]:
    sessions = [
        (session, f'{labels},family="{session.family}",peer="{escape(session.peer)}"')
        for vi, labels in vis
        for session in vi.sessions
    ]
    name = "dcedge_bgp_session_up"
    yield (
        Family(name, "gauge", "Whether the BGP session is established."),
        (f"{name}{{{labels}}} {1 if s.state == 'Established' else 0}\n" for s, labels in sessions),
    )
    name = "dcedge_bgp_session_uptime_seconds"
    yield (
        Family(name, "gauge", "How long the BGP session has been established."),
        (f"{name}{{{labels}}} {s.uptime!r}\n" for s, labels in sessions if s.uptime is not None),
    )
    name = "dcedge_bgp_prefixes"
    yield Family(name, "gauge", "Prefixes that the BGP session carries."), (
        f'{name}{{{labels},direction="{direction}"}} {count}\n'
        for s, labels in sessions
        for direction, count in (
            ("received", s.received), ("accepted", s.accepted), ("advertised", s.advertised)
        )
        if count is not None
    )  # fmt: skip
    name = "dcedge_bgp_prefix_limit"
    yield Family(name, "gauge", "Prefixes that the BGP session may carry; over it the session is torn down."), (
        f'{name}{{{labels},direction="{direction}"}} {limit}\n'
        for s, labels in sessions if s.ordered is not None
        for direction, limit in (("accepted", s.ordered.receive_limit), ("advertised", s.ordered.advertise_limit))
        if limit is not None
    )  # fmt: skip
    name = "dcedge_bgp_session_transitions_total"
    yield (
        Family(name, "counter", "How often the BGP session was lost."),
        (f"{name}{{{labels}}} {s.transitions}\n" for s, labels in sessions),
    )
    name = "dcedge_bfd_session_up"
    yield (
        Family(name, "gauge", "Whether BFD sees the path, where it is used."),
        (
            f"{name}{{{labels}}} {1 if s.bfd.lower() == 'up' else 0}\n"
            for s, labels in sessions
            if s.bfd is not None and s.bfd != "unknown"
        ),
    )


def _probes(vis: list[_Labelled]) -> Iterator[tuple[Family, Iterator[str]]]:
    probes = [(probe, f'{labels},family="{probe.family}"') for vi, labels in vis for probe in vi.probes]
    name = "dcedge_probe_rtt_seconds"
    yield (
        Family(name, "histogram", "Round trips to the cloud's side, from the kernel's timestamps."),
        (_histogram(name, labels, p.histogram) for p, labels in probes),
    )
    counters = (
        ("sent", "Echo requests sent.", [p.sent for p, _ in probes]),
        ("lost", "Echo requests without a reply in time.", [p.lost for p, _ in probes]),
        ("late", "Replies that came after their request was counted as lost.", [p.late for p, _ in probes]),
        ("duplicates", "Replies that came more than once.", [p.duplicates for p, _ in probes]),
        ("reordered", "Replies that overtook an earlier one.", [p.reordered for p, _ in probes]),
        ("send_errors", "Echo requests that could not be sent.", [p.send_errors for p, _ in probes]),
    )
    for short, text, values in counters:
        name = f"dcedge_probe_{short}_total"
        yield Family(name, "counter", text), _lines(name, probes, values)
    name = "dcedge_probe_jitter_seconds"
    yield (
        Family(name, "gauge", "Variation of the round trips, smoothed as RFC 3550 has it."),
        (f"{name}{{{labels}}} {p.jitter!r}\n" for p, labels in probes if p.jitter is not None),
    )
    name = "dcedge_probe_full_size_answered"
    yield (
        Family(name, "gauge", "Whether the last probe of the MTU's size, not to be fragmented, was answered."),
        (
            f"{name}{{{labels}}} {1 if p.full_size_answered else 0}\n"
            for p, labels in probes
            if p.full_size_answered is not None
        ),
    )
    name = "dcedge_probe_interval_seconds"
    yield (
        Family(name, "gauge", "The interval in force; a connection's probe budget may have stretched it."),
        (f"{name}{{{labels}}} {p.interval!r}\n" for p, labels in probes),
    )


def _stamps(vis: list[_Labelled], stamps: tuple[StampStats, ...]) -> Iterator[tuple[Family, Iterator[str]]]:
    if not stamps:
        return
    of = {vi.name: labels for vi, labels in vis}
    paths = [(s, f'{of[s.virtual_interface]},peer="{s.destination}"') for s in stamps if s.virtual_interface in of]
    name = "dcedge_stamp_delay_seconds"
    yield Family(name, "gauge", "Mean delay by STAMP; of one direction only where both clocks are set."), (
        f'{name}{{{labels},direction="{direction}"}} {delay!r}\n'
        for s, labels in paths
        for direction, delay in (("round_trip", s.round_trip), ("forward", s.forward), ("backward", s.backward))
        if delay is not None
    )  # fmt: skip
    name = "dcedge_stamp_sent_total"
    yield Family(name, "counter", "STAMP's test packets sent."), _lines(name, paths, [s.sent for s, _ in paths])
    name = "dcedge_stamp_lost_total"
    yield (
        Family(name, "counter", "STAMP's test packets without a reflection in time."),
        _lines(name, paths, [s.lost for s, _ in paths]),
    )
    name = "dcedge_stamp_lost_in_direction_total"
    yield Family(name, "counter", "Of the lost test packets those known to be lost on one way."), (
        f'{name}{{{labels},direction="{direction}"}} {lost}\n'
        for s, labels in paths
        for direction, lost in (("forward", s.lost_forward), ("backward", s.lost_backward))
    )  # fmt: skip


def _lines(name: str, labelled: Iterable[tuple[object, str]], values: Sequence[float]) -> Iterator[str]:
    return (f"{name}{{{labels}}} {value}\n" for (_, labels), value in zip(labelled, values, strict=True))


_LINK_COUNTERS = tuple(
    (f"{direction}_{what}", f"{text} {verb}.")
    for direction, verb in (("receive", "received"), ("transmit", "sent"))
    for what, text in (
        ("bytes", "Bytes that the link"), ("packets", "Packets that the link"), ("errors", "Errors while the link")
    )
)  # fmt: skip


def _traffic(
    vis: list[_Labelled], connections: tuple[ConnectionSnapshot, ...]
) -> Iterator[tuple[Family, Iterator[str]]]:
    links = [(vi.counters, labels) for vi, labels in vis if vi.counters is not None]
    ports = [
        (c.counters, f'connection="{escape(c.name)}",port="{escape(c.port)}"')
        for c in connections
        if c.counters is not None and c.over is None
    ]
    for whose, counted in (("interface", links), ("port", ports)):
        for attribute, text in _LINK_COUNTERS:
            name = f"dcedge_{whose}_{attribute}_total"
            values = [getattr(counters, attribute) for counters, _ in counted]
            yield Family(name, "counter", text), _lines(name, counted, values)
    shapers = [(vi.shaper, labels) for vi, labels in vis if vi.shaper is not None]
    for short, kind, text in (
        ("sent_bytes", "counter", "Frame bytes that the shaper let through."),
        ("sent_packets", "counter", "Packets that the shaper let through."),
        ("dropped_packets", "counter", "Packets that the shaper's queue dropped."),
        ("marked_packets", "counter", "Packets that the shaper's queue marked with ECN."),
        ("requeues", "counter", "Packets that waited once more because the device below had no room."),
        ("backlog_bytes", "gauge", "Bytes that wait in the shaper's queue."),
    ):
        name = f"dcedge_shaper_{short}" + ("_total" if kind == "counter" else "")
        values = [getattr(shaper, short) for shaper, _ in shapers]
        family = Family(name, "counter" if kind == "counter" else "gauge", text)
        yield family, _lines(name, shapers, values)
    full = [(vi.saturated, labels) for vi, labels in vis if vi.saturated is not None]
    name = "dcedge_shaper_saturated_seconds_total"
    told = Family(name, "counter", "Seconds in which the shaper sent all that was ordered, or dropped.")
    yield told, _lines(name, full, [saturated.total for saturated, _ in full])


def _connections(connections: tuple[ConnectionSnapshot, ...]) -> Iterator[tuple[Family, Iterator[str]]]:
    labelled = [
        (c, f'connection="{escape(c.name)}",port="{escape(c.port)}",provider="{escape(c.provider)}"')
        for c in connections
    ]
    name = "dcedge_connection_carrier"
    yield (
        Family(name, "gauge", "Whether the connection's port has a carrier."),
        (f"{name}{{{labels}}} {1 if c.carrier else 0}\n" for c, labels in labelled if c.carrier is not None),
    )
    name = "dcedge_connection_carrier_changes_total"
    yield (
        Family(name, "counter", "How often the carrier came or went."),
        (f"{name}{{{labels}}} {c.counters.carrier_changes}\n" for c, labels in labelled if c.counters is not None),
    )
    name = "dcedge_connection_ordered_bytes_per_second"
    yield (
        Family(name, "gauge", "The connection's bandwidth as ordered."),
        (f"{name}{{{labels}}} {c.bandwidth_bps / 8!r}\n" for c, labels in labelled),
    )
    yield from _optics(connections)


def _optics(connections: tuple[ConnectionSnapshot, ...]) -> Iterator[tuple[Family, Iterator[str]]]:
    told = [(o, f'connection="{escape(c.name)}",port="{escape(port)}"') for c in connections for port, o in c.optics]
    name = "dcedge_connection_optical_power_dbm"
    yield Family(name, "gauge", "The light of the transceiver's weakest lane."), (
        f'{name}{{{labels},direction="{direction}"}} {power:.2f}\n'
        for o, labels in told
        for direction, power in (("receive", o.receive_dbm), ("transmit", o.transmit_dbm))
        if power is not None
    )  # fmt: skip
    name = "dcedge_connection_optical_low_alarm_dbm"
    yield Family(name, "gauge", "The light below which the transceiver itself raises an alarm."), (
        f'{name}{{{labels},direction="{direction}"}} {power:.2f}\n'
        for o, labels in told
        for direction, power in (("receive", o.receive_alarm_dbm), ("transmit", o.transmit_alarm_dbm))
        if power is not None
    )  # fmt: skip
    name = "dcedge_connection_optical_alarms"
    yield (
        Family(name, "gauge", "Alarms that the transceiver raises."),
        _lines(name, told, [len(o.alarms) for o, _ in told]),
    )


def _daemon(snapshot: Snapshot) -> Iterator[tuple[Family, Iterator[str]]]:
    passes, order = snapshot.passes, snapshot.order
    name = "dcedge_build_info"
    yield Family(name, "info", "This build."), iter([f'{name}{{version="{escape(snapshot.version)}"}} 1\n'])
    name = "dcedge_frr_available"
    yield Family(name, "gauge", "Whether FRR answers."), iter([f"{name} {1 if snapshot.frr.available else 0}\n"])
    name = "dcedge_frr_info"
    version = snapshot.frr.version
    lines = [] if version is None else [f'{name}{{version="{escape(version)}"}} 1\n']
    yield Family(name, "info", "The FRR that runs here."), iter(lines)
    name = "dcedge_reconcile_duration_seconds"
    durations = [] if passes.durations is None else [_histogram(name, "", passes.durations)]
    yield Family(name, "histogram", "How long the passes took."), iter(durations)
    name = "dcedge_reconcile_finished_timestamp_seconds"
    yield Family(name, "gauge", "When the last pass ended."), _optional(name, passes.finished)
    name = "dcedge_reconcile_failing_operations"
    yield (
        Family(name, "gauge", "Operations that did not succeed in the last pass."),
        iter([f"{name} {len(passes.failing)}\n"]),
    )
    name = "dcedge_drift_repaired_total"
    yield (
        Family(name, "counter", "Differences that appeared by themselves and were put right."),
        (f'{name}{{resource="{escape(kind)}"}} {count}\n' for kind, count in passes.drift_repaired),
    )
    name = "dcedge_drift_contested"
    yield (
        Family(name, "gauge", "Objects left alone for a while, since somebody else undoes every repair."),
        iter([f"{name} {passes.drift_contested}\n"]),
    )
    name = "dcedge_order_load_failed"
    yield (
        Family(name, "gauge", "Whether the order file as it is now was refused."),
        iter([f"{name} {1 if order.load_failed else 0}\n"]),
    )
    name = "dcedge_order_file_differs"
    yield (
        Family(name, "gauge", "Whether the order file says something else than what is in force."),
        iter([f"{name} {1 if order.differs else 0}\n"]),
    )
    name = "dcedge_task_failures_total"
    yield (
        Family(name, "counter", "Errors that ended one of the daemon's background tasks, which then began anew."),
        (f'{name}{{task="{escape(task)}"}} {count}\n' for task, count in passes.task_failures),
    )
    name = "dcedge_state_files_unwritten"
    yield (
        Family(name, "gauge", "Files of the state folder that cannot be written: what a restart would forget."),
        iter([f"{name} {passes.state_files_unwritten}\n"]),
    )
    name = "dcedge_order_applied_timestamp_seconds"
    yield Family(name, "gauge", "When the order in force was applied."), _optional(name, order.applied)
    if snapshot.prober is not None:
        name = "dcedge_probe_strays_total"
        yield Family(name, "counter", "Echo replies that fit no request."), iter([f"{name} {snapshot.prober.strays}\n"])
        name = "dcedge_probe_overflows_total"
        yield (
            Family(name, "counter", "Replies that the kernel dropped unread."),
            iter([f"{name} {snapshot.prober.overflows}\n"]),
        )


def _process(snapshot: Snapshot) -> Iterator[tuple[Family, Iterator[str]]]:
    process = snapshot.process
    if process is None:
        return
    values: tuple[tuple[str, Kind, str, float], ...] = (
        ("resident_memory_bytes", "gauge", "Resident memory.", process.resident_bytes),
        ("virtual_memory_bytes", "gauge", "Virtual memory.", process.virtual_bytes),
        ("cpu_seconds_total", "counter", "User and system CPU time spent.", process.cpu),
        ("open_fds", "gauge", "Open file descriptors.", process.open_fds),
        ("max_fds", "gauge", "Limit of open file descriptors.", process.max_fds),
        ("start_time_seconds", "gauge", "When the process started.", process.started),
    )
    for short, kind, text, value in values:
        yield Family(f"process_{short}", kind, text), _optional(f"process_{short}", value)


def _optional(name: str, value: float | None) -> Iterator[str]:
    return iter([] if value is None else [f"{name} {value!r}\n"])


# Control characters stand for what is filled in: no name contains them.
_NAME, _LABELS, _LABEL_SET = "\x00", "\x01", "\x02"
_BUCKETS = "".join(f'{_NAME}_bucket{{{_LABELS}le="{bound!r}"}} %d\n' for bound in BOUNDS)
_HISTOGRAM = (
    f'{_BUCKETS}{_NAME}_bucket{{{_LABELS}le="+Inf"}} %d\n{_NAME}_count{_LABEL_SET} %d\n{_NAME}_sum{_LABEL_SET} %r\n'
)


def _histogram(name: str, labels: str, histogram: Histogram | HistogramCounts) -> str:
    cumulative = tuple(accumulate(histogram.counts))
    # A per cent sign in a label would be taken for a directive.
    safe = labels.replace("%", "%%")
    template = _HISTOGRAM.replace(_NAME, name)
    template = template.replace(_LABELS, f"{safe}," if safe else "")
    template = template.replace(_LABEL_SET, f"{{{safe}}}" if safe else "")
    return template % (*cumulative, cumulative[-1], histogram.total)
