"""Debian's Prometheus on the router: the dashboard has data, alerts fire on real faults and clear after them.

The light is read from a transceiver's memory that the test writes. That an alert waits as long as it says is in
tests/unit/config, where each goes through its fault on paper.
"""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dcedge.api.control.client import ControlClient
from tests.lab.bed import ORDER, ORDERED_BPS, Bed
from tests.lab.disk import Disk
from tests.lab.netns import end, leave_on_signals
from tests.lab.prometheus import Alert, Prometheus
from tests.lab.transceivers import RECEIVE_ALARM_DBM, put_sfp
from tests.lab.wait import until
from tests.unit.config import dashboard

pytestmark = pytest.mark.timeout(900)

WINDOW = "10s"
PATIENCE_SECONDS = 120.0  # beside other tests, the lab has a part of a processor
# `soon` is planned: the cloud knows nothing of it yet, so it is down, and nobody is to be woken for that.
SOON = """\
  soon:
    connection: fra-2
    virtual_gateway: dev
    vlan: 999
    bandwidth: 10M
    admin: planned
    preference: backup
    addresses: [{customer: 10.255.99.2/30, cloud: 10.255.99.1}]
"""
# `late` is ordered up, but its password is not there.
LATE = """\
  late:
    connection: fra-2
    virtual_gateway: dev
    vlan: 998
    bandwidth: 10M
    preference: backup
    addresses: [{customer: 10.255.98.2/30, cloud: 10.255.98.1}]
    bgp: {password: {credential: late}}
"""
END = "...\n"  # of the order
_PASSWORD_A = "bgp: {password: {credential: prod-a}}"
ORDERED = (
    ORDER.read_text()
    .removesuffix(END)
    .replace("bandwidth: 200M", "bandwidth: 5M")  # soon full
    .replace(_PASSWORD_A, f"{_PASSWORD_A}\n    probe: {{interval: 200ms}}")  # soon told
    + SOON
    + END
)
# The VPC `dev` announces one prefix, and only one is foreseen.
LATE_TOO = ORDERED.removesuffix(END) + LATE + END
FAULTY = LATE_TOO.replace("{credential: dev-a}", "{credential: dev-a}, receive_limit: 1")

FIRST = {
    Alert("DcedgeBgpFlapping", "prod-b"),
    Alert("DcedgeRepairSuppressed"),
    Alert("DcedgeLoss", "prod-a"),
    Alert("DcedgeOrderNotApplied", "late"),
    Alert("DcedgeOrderRefused"),
    Alert("DcedgePrefixesNearLimit", "dev-a"),
    Alert("DcedgeRttHigh", "prod-a"),
    Alert("DcedgeSaturated", "dev-a"),
    Alert("DcedgeVirtualInterfaceDegraded", "prod-a"),
    Alert("DcedgeVirtualInterfaceDown", "late"),
}
ABSENT = {Alert("DcedgeAgentAbsent")}
CUT = {Alert("DcedgeConnectionDown", "fra-1"), Alert("DcedgeVirtualInterfaceDown", "prod-a")}
WEAK = {Alert("DcedgeFrrAbsent"), Alert("DcedgeOpticalPowerLow", "fra-2")}
GOOD_DBM, WEAK_DBM = -7.0, RECEIVE_ALARM_DBM + 0.5


@pytest.fixture(scope="module")
def watched() -> Iterator[tuple[Bed, Prometheus, Disk]]:
    """The standard testbed with a planned virtual interface, all well, Prometheus beside the daemon, and the disk that
    dcedge keeps its state on."""
    leave_on_signals()
    with Bed() as bed, Disk(bed.work.folder / "disk", bed.edge.state_dir) as disk:
        put_sfp(bed.edge.transceivers, "eth2", GOOD_DBM)
        bed.edge.order.write_text(ORDERED)
        bed.edge.start_daemon()
        bed.wait_up(*ORDERED_BPS)
        prometheus = Prometheus(bed.edge.namespace, bed.work.folder / "prometheus")
        prometheus.start()
        until("the baselines", lambda: prometheus.values("dcedge:probe_rtt_seconds:baseline"))
        yield bed, prometheus, disk
        disk.mend()
        bed.edge.stop_daemon()


@contextmanager
def traffic_to(bed: Bed, name: str) -> Iterator[None]:
    """All that TCP can send through a virtual interface."""
    words = ("iperf3", "--client", bed.targets(name)[0], "--time", "300")
    sender = bed.edge.host.popen(*words)
    try:
        yield
        assert sender.poll() is None, "iperf3 ended by itself"
    finally:
        end(sender)


def flap(bed: Bed, name: str, times: int) -> None:
    """Have the cloud close every session of a virtual interface, again and again."""
    for _ in range(times):
        lost = transitions(bed, name)
        bed.edge.frr.vtysh(*(f"clear bgp {peer.address}" for peer in bed.attachment(name).peers))
        until(
            f"{name}'s sessions to be lost and back",
            lambda: (transitions(bed, name), bed.edge.virtual_interfaces()[name]["bgp"]),
            PATIENCE_SECONDS,
            accept=lambda seen: (
                all(now > before for now, before in zip(seen[0], lost, strict=True))  # noqa: B023 - called at once
                and all(session["state"] == "Established" for session in seen[1])
            ),
        )


def transitions(bed: Bed, name: str) -> list[int]:
    """How often each session of a virtual interface was lost."""
    return [session["transitions"] for session in bed.edge.virtual_interfaces()[name]["bgp"]]


def undo_repairs(bed: Bed, name: str) -> None:
    """Take a virtual interface's shaper away until dcedge notices that this is no accident."""
    link = bed.edge.virtual_interfaces()[name]["interface"]

    def suppressed() -> bool:
        bed.edge.namespace.run("tc", "qdisc", "del", "dev", link, "root", check=False)
        return any("is suppressed" in note for note in bed.edge.status()["pass"]["notes"])

    until(f"the repair of {name}'s shaper to be suppressed", suppressed)


def order(bed: Bed, text: str) -> None:
    """Put an order into the file and have the daemon read it."""
    bed.edge.order.write_text(text)
    bed.edge.reload_daemon()


def recent_minutes(bed: Bed, name: str) -> list[float]:
    """The round trips of the last hour, as the status page draws them."""
    return [rtt for rtt in ControlClient(bed.edge.socket).detail(name)["hour"]["rtt_seconds"] if rtt is not None]


def await_alerts(prometheus: Prometheus, wanted: set[Alert], since: float) -> set[Alert]:
    """Wait until each of these has fired since then (monotonic), though one may be over by now; all that have."""

    def fired() -> set[Alert]:
        return prometheus.alerts(max(int(time.monotonic() - since), 1)).get("firing", set())

    return until("the alerts", fired, PATIENCE_SECONDS, accept=lambda seen: wanted <= seen)


def test_alerts_fire_on_their_faults_and_the_dashboard_has_data_and_all_clears(
    watched: tuple[Bed, Prometheus, Disk],
) -> None:
    bed, prometheus, disk = watched
    assert bed.edge.virtual_interfaces()["soon"]["verdict"] in {"pending", "down"}
    until("no alert", prometheus.firing, PATIENCE_SECONDS, accept=lambda firing: not firing)

    began = time.monotonic()
    bed.prod.router.run("tc", "qdisc", "add", "dev", "prod-a", "root", "netem", "delay", "20ms", "loss", "25%")
    with traffic_to(bed, "dev-a"):
        order(bed, FAULTY)
        until("the faulty order", bed.edge.virtual_interfaces, accept=lambda seen: "late" in seen)
        order(bed, "nonsense")
        undo_repairs(bed, "soon")
        flap(bed, "prod-b", 3)
        firing = await_alerts(prometheus, FIRST, began)
        assert not {alert for alert in firing if alert.about == "soon"}
        dashboard_has_data(prometheus)

    bed.prod.router.run("tc", "qdisc", "del", "dev", "prod-a", "root")
    order(bed, ORDERED)
    began = time.monotonic()
    bed.fibres["fra-1"].cut()
    await_alerts(prometheus, CUT, began)
    bed.fibres["fra-1"].splice()
    minutes = until("a minute of the last hour", lambda: recent_minutes(bed, "prod-b"), PATIENCE_SECONDS)
    assert all(0 < rtt < 1 for rtt in minutes)
    began = time.monotonic()
    bed.edge.stop_daemon()
    await_alerts(prometheus, ABSENT, began)
    bed.edge.start_daemon()

    bed.wait_up(*ORDERED_BPS)
    began = time.monotonic()
    put_sfp(bed.edge.transceivers, "eth2", WEAK_DBM)
    bed.edge.frr.stop_daemon("bgpd", signal.SIGKILL)
    await_alerts(prometheus, WEAK, began)
    disk.hang()  # no pass waits for it
    order(bed, LATE_TOO)
    until("the order, though the disk hangs", bed.edge.virtual_interfaces, accept=lambda seen: "late" in seen)
    disk.mend()
    bed.edge.frr.start_daemon("bgpd")
    put_sfp(bed.edge.transceivers, "eth2", GOOD_DBM)
    order(bed, ORDERED)

    bed.wait_up(*ORDERED_BPS)
    faults = FIRST | CUT | ABSENT | WEAK
    until("every alert to clear", prometheus.firing, PATIENCE_SECONDS, accept=lambda firing: not firing & faults)


def dashboard_has_data(prometheus: Prometheus) -> None:
    """Every query of the Grafana dashboard, and every variable that it is narrowed by, finds something."""
    silent = [
        (query.panel, query.expression)
        for query in dashboard.queries(WINDOW)
        if not prometheus.values(query.expression)
    ]
    assert silent == []
    for name, definition in dashboard.variables().items():
        found = re.fullmatch(r"label_values\((.+), (\w+)\)", definition)
        assert found is not None, definition
        expression = re.sub(r"\$\w+", ".*", found[1])
        assert all(sample["metric"].get(found[2]) for sample in prometheus.query(expression) or [{"metric": {}}]), name
