"""A router with a few virtual interfaces in several states, as the snapshot the outside sees."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_interface

from dcedge.api.metrics.exposition import OPENMETRICS, TEXT, exposition
from dcedge.api.metrics.instruments import DaemonMetrics
from dcedge.kernel.counters import LinkCounters, ShaperCounters
from dcedge.kernel.port.ethtool import LinkMode
from dcedge.kernel.port.optics import Lane, Optics
from dcedge.kernel.softnet import SoftnetCounters
from dcedge.monitor.health.verdict import Verdict
from dcedge.monitor.saturation import Saturated
from dcedge.monitor.snapshot import (
    ConnectionSnapshot,
    FrrSnapshot,
    OrderSnapshot,
    PassSnapshot,
    RouterSnapshot,
    SessionSnapshot,
    Snapshot,
    Used,
    VirtualInterfaceSnapshot,
)
from dcedge.order.field_types import Family
from dcedge.order.model import BfdTimers
from dcedge.order.resolve import Session
from dcedge.probe.histogram import Histogram
from dcedge.probe.prober import ProberStats
from dcedge.probe.stamp import StampStats
from dcedge.probe.stream import ProbeStats

TAKEN = 1_700_000_000.0

COUNTERS = LinkCounters(
    receive_packets=10,
    transmit_packets=20,
    receive_bytes=1000,
    transmit_bytes=2000,
    receive_errors=1,
    transmit_errors=2,
    up=True,
    carrier=True,
    carrier_changes=3,
)
SHAPER = ShaperCounters("fq_codel", 5000, 50, 5, 1500, marked_packets=6, requeues=7)


def probe(name: str, family: Family = "ipv4", lost: int = 0, rtts: tuple[float, ...] = (0.001, 0.003)) -> ProbeStats:
    histogram = Histogram()
    for rtt in rtts:
        histogram.observe(rtt)
    return ProbeStats(
        virtual_interface=name,
        family=family,
        destination="10.0.0.1" if family == "ipv4" else "2001:db8::1",
        interval=2.0,
        ordered_interval=1.0,
        sent=len(rtts) + lost,
        received=len(rtts),
        lost=lost,
        late=4,
        duplicates=5,
        reordered=6,
        send_errors=7,
        error=None,
        window_probes=len(rtts) + lost,
        window_lost=lost,
        rtt_last=rtts[-1] if rtts else None,
        rtt_min=min(rtts, default=None),
        rtt_average=sum(rtts) / len(rtts) if rtts else None,
        jitter=0.0001 if rtts else None,
        histogram=histogram.read(),
    )


def ordered(family: Family = "ipv4") -> Session:
    return Session(
        virtual_interface="prod-a",
        virtual_gateway="prod",
        family=family,
        customer=ip_interface("10.0.0.2/30" if family == "ipv4" else "2001:db8::2/126"),
        cloud=ip_address("10.0.0.1" if family == "ipv4" else "2001:db8::1"),
        customer_asn=65010,
        cloud_asn=64512,
        password=None,
        keepalive=20,
        hold=60,
        bfd=BfdTimers(interval=0.3, multiplier=3),
        receive_limit=200,
        advertise_limit=100,
        ttl_security=False,
        multihop=1,
        communities=(),
        med=None,
        allowas_in=0,
        graceful_restart=False,
        admin_up=True,
    )


def session(family: Family = "ipv4", state: str = "Established", bfd: str = "up") -> SessionSnapshot:
    return SessionSnapshot(
        peer="10.0.0.1" if family == "ipv4" else "2001:db8::1",
        family=family,
        state=state,
        up=state == "Established",
        uptime=7200.0 if state == "Established" else None,
        received=4,
        accepted=3,
        advertised=2,
        transitions=1,
        bfd=bfd,
        bfd_detection_ms=900 if bfd == "up" else None,
        ordered=ordered(family),
    )


def up(name: str = "prod-a") -> VirtualInterfaceSnapshot:
    return VirtualInterfaceSnapshot(
        name=name,
        connection="fra-1",
        virtual_gateway="prod",
        verdict=Verdict("up", "as ordered"),
        since=TAKEN - 3600,
        interface="eth1.101",
        ordered_bps=500_000_000,
        used=Used(120_000_000, 480_000_000),
        counters=COUNTERS,
        shaper=SHAPER,
        saturated=Saturated(12.0, 340.0),
        sessions=(session(), session("ipv6")),
        probes=(probe(name), probe(name, "ipv6")),
    )


def down(name: str = "prod-b") -> VirtualInterfaceSnapshot:
    return VirtualInterfaceSnapshot(
        name=name,
        connection="fra-2",
        virtual_gateway="prod",
        verdict=Verdict("down", "BGP to 10.0.0.1 is Active for 35 s: the cloud does not answer on TCP 179"),
        since=TAKEN - 35,
        interface="eth2.101",
        ordered_bps=200_000_000,
        preference="backup",
        sessions=(session(state="Active", bfd="down"),),
        probes=(probe(name, lost=5, rtts=()),),
    )


def snapshot(*vis: VirtualInterfaceSnapshot, **more: object) -> Snapshot:
    parts: dict[str, object] = {
        "taken": TAKEN,
        "version": "1.2.3",
        "router": RouterSnapshot("edge-1", 65010, "10.255.0.1"),
        "frr": FrrSnapshot(available=True, detail="", version="10.3"),
        "connections": (
            ConnectionSnapshot(
                "fra-1",
                "otc",
                "eth1",
                10**10,
                carrier=True,
                counters=COUNTERS,
                circuit_id="DTAG-4711",
                mode=LinkMode(10_000, "full"),
            ),
            ConnectionSnapshot("fra-2", "azure", "eth2", 10**9, carrier=False),
        ),
        "virtual_interfaces": vis or (up(), down()),
        "passes": PassSnapshot(TAKEN - 5, 0.02, 3, (("address", 2), ("link", 1))),
        "order": OrderSnapshot("/etc/dcedge/order.yaml", TAKEN - 600),
        "prober": ProberStats(strays=8, overflows=9),
        "softnet": (SoftnetCounters(0, 900, 3, 2),),
        "stamps": (StampStats("prod-a", "10.0.0.1", 30, 25, 5, 3, 2, 0.007, 0.002, 0.005),),
    }
    return Snapshot(**(parts | more))  # type: ignore[arg-type]


OPTICS = Optics("FINISAR", "FTLX1471", "ABC", (Lane(-15.2, -2.5),), -14.0, -10.2, ("receive power low",))


def complete() -> Snapshot:
    """The scene with nothing left out: every metric has a sample in it."""
    shown = snapshot()
    first, *others = shown.connections
    tried = up()._replace(probes=(probe("prod-a")._replace(full_size_answered=True, mtu=1500),))
    vis = (tried, *shown.virtual_interfaces[1:])
    return replace(shown, connections=(first._replace(optics=(("eth1", OPTICS),)), *others), virtual_interfaces=vis)


def own_metrics() -> DaemonMetrics:
    """A daemon's own metrics, after a pass, three repairs and an error in one of its tasks."""
    metrics = DaemonMetrics("1.2.3")
    metrics.pass_duration.observe(0.02)
    metrics.drift_repaired.labels("address").inc(2)
    metrics.drift_repaired.labels("link").inc()
    metrics.task_failures.labels("polls").inc()
    return metrics


def rendered(shown: Snapshot, openmetrics: bool = False) -> bytes:
    """The exposition of a scene."""
    return b"".join(exposition(shown, own_metrics(), OPENMETRICS if openmetrics else TEXT))
