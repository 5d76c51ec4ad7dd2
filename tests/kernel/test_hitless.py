"""What changes beside a virtual interface does not touch its traffic; what a plan says of a disruption is true."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import IPv4Address
from typing import Any

import pytest
import yaml

from dcedge.plan.resource import DISRUPTIONS
from dcedge.units import parse_rate
from tests.kernel.test_main_job import sessions
from tests.lab import traffic
from tests.lab.bed import ORDER, Bed
from tests.lab.edge import written
from tests.lab.wait import until

pytestmark = pytest.mark.timeout(600)

PATIENCE_SECONDS = 60.0


def standard() -> dict[str, Any]:
    """The standard order as data."""
    order: dict[str, Any] = yaml.safe_load(ORDER.read_text())
    return order


def with_neighbours(count: int, rate: str, *, reverse: bool = False) -> str:
    """The standard order with so many more virtual interfaces beside it, on the same two ports."""
    order = standard()
    order["virtual_gateways"]["many"] = {
        "vpc": "vpc-many",
        "asn": 64514,
        "accept": [{"prefix": "10.40.0.0/16", "le": 32}],
    }
    numbers = range(count)
    for n in reversed(numbers) if reverse else numbers:
        base = int(IPv4Address("172.16.0.0")) + 4 * n
        order["virtual_interfaces"][f"many-{n}"] = {
            "connection": ("fra-1", "fra-2")[n % 2],
            "virtual_gateway": "many",
            "vlan": 1000 + n,
            "bandwidth": rate,
            "addresses": [{"customer": f"{IPv4Address(base + 2)}/30", "cloud": str(IPv4Address(base + 1))}],
            "static": [f"10.40.{n // 256}.{n % 256}/32"],
            "probe": {"interval": "60s"},
        }
    return written(order)


def take_over(bed: Bed, text: str, change: Callable[[], object] | None = None) -> None:
    """Have the daemon put an order in force, by SIGHUP unless told otherwise, and wait until it has."""
    edge = bed.edge
    before = edge.status()["pass"]["finished_at"]
    edge.order.write_text(text)
    (change or edge.reload_daemon)()
    ordered = yaml.load(text, yaml.CSafeLoader)["virtual_interfaces"]
    wanted = {name: parse_rate(vi["bandwidth"]) for name, vi in ordered.items()}

    def seen() -> dict[str, Any]:
        status = edge.status()
        passed = status.get("pass", {})
        return {
            "passed": bool(passed) and passed["finished_at"] not in {None, before},
            "failing": passed.get("failing"),
            "differing": len(
                wanted.items() ^ {(vi["name"], vi["ordered_bps"]) for vi in status.get("virtual_interfaces", [])}
            ),
        }

    until(
        "the order to be in force",
        seen,
        PATIENCE_SECONDS,
        accept=lambda now: now == {"passed": True, "failing": [], "differing": 0},
    )


def restart(bed: Bed) -> None:
    """SIGKILL the daemon and start it again."""
    bed.edge.kill_daemon()
    bed.edge.start_daemon()


@pytest.mark.sized
def test_a_stream_survives_all_that_happens_beside_it(running: Bed, thorough: bool) -> None:
    neighbours, reloads, restarts = (500, 20, 10) if thorough else (100, 4, 3)
    edge, target = running.edge, running.prod.host_address(4)
    flaps = sessions(running)
    until(f"an answer from {target}", lambda: traffic.reaches(edge.host, target))
    with traffic.udp_stream(edge.host, running.prod.host, target, packets_per_second=1000) as stream:
        take_over(running, with_neighbours(neighbours, "2M"))
        take_over(running, with_neighbours(neighbours, "2500K"))
        for round_ in range(reloads):
            take_over(running, with_neighbours(neighbours, "2500K", reverse=round_ % 2 == 0))
        for _ in range(restarts):
            take_over(running, with_neighbours(neighbours, "2500K"), lambda: restart(running))
        all_go = ("apply", "--allow-removal", str(neighbours))
        take_over(running, ORDER.read_text(), lambda: edge.dcedge(*all_go, timeout=PATIENCE_SECONDS))
    assert stream.sent > 5_000
    assert (stream.lost, stream.reordered, stream.duplicated) == (0, 0, 0), stream
    assert sessions(running) == flaps


def test_a_stream_survives_changes_of_its_own_rate(running: Bed) -> None:
    edge, target = running.edge, running.dev.host_address(4)
    until(f"an answer from {target}", lambda: traffic.reaches(edge.host, target))
    with traffic.udp_stream(edge.host, running.dev.host, target, packets_per_second=1000) as stream:
        for rate in ("500M", "20M", "2M", "200M"):
            order = standard()
            order["virtual_interfaces"]["dev-a"]["bandwidth"] = rate
            take_over(running, written(order))
            assert edge.virtual_interfaces()["dev-a"]["ordered_bps"] == int(rate[:-1]) * 1_000_000
    assert (stream.lost, stream.reordered) == (0, 0), stream


def bgp(**settings: object) -> dict[str, Any]:
    """`dev-a` with other settings for BGP."""
    return {"bgp": {"password": {"credential": "dev-a"}, **settings}}


HARMLESS: Mapping[str, Mapping[str, Any]] = {
    "bandwidth": {"bandwidth": "150M"},
    "plain queue": {"shaping": {"queue": "pfifo"}},
    "queue that cuts itself": {"shaping": {"queue": "cake"}},
    "queue that does not": {"shaping": {"queue": "fq_codel"}},
    "limits": bgp(receive_limit=50, advertise_limit=20),
    "announcement": bgp(communities=["65010:1"], med=5),
    "BFD timers": bgp(bfd={"interval": "400ms", "multiplier": 5}),
    "preference": {"preference": "backup"},
}
INWARD: Mapping[str, Mapping[str, Any]] = {"probe": {"probe": {"interval": "2s"}}, "planned": {"admin": "planned"}}
HARMFUL: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "another ASN": (bgp(cloud_asn=64999), "session"),
    "TTL security": (bgp(ttl_security=True), "session"),
    "no password": ({"bgp": {}}, "session"),
    "another VLAN": ({"vlan": 202}, "link"),
    "down": ({"admin": "down"}, "link"),
    "other addresses": ({"addresses": [{"customer": "10.255.202.2/30", "cloud": "10.255.202.1"}]}, "link"),
}


def order_with(change: Mapping[str, Any]) -> str:
    """The standard order with a change of `dev-a`."""
    order = standard()
    order["virtual_interfaces"]["dev-a"] |= change
    return written(order)


def planned(bed: Bed, text: str) -> tuple[str | None, set[str]]:
    """The worst disruption that a plan speaks of (None: it is empty), and whom it affects."""
    bed.edge.order.write_text(text)
    operations = bed.edge.dcedge("plan", "--json").json()["operations"]
    worst = max((operation["disruption"] for operation in operations), key=DISRUPTIONS.index, default=None)
    return worst, {name for operation in operations for name in operation["affects"]}


def test_what_a_plan_calls_harmless_loses_nothing(running: Bed) -> None:
    edge, target = running.edge, running.dev.host_address(4)
    until(f"an answer from {target}", lambda: traffic.reaches(edge.host, target))
    flaps = sessions(running)
    for what, change in {**HARMLESS, **INWARD}.items():
        text = order_with(change)
        with traffic.udp_stream(edge.host, running.dev.host, target, packets_per_second=1000) as stream:
            # Back to the standard order is what the next change does too.
            assert planned(running, text) == ("none", {"dev-a"}) or what in INWARD, what
            take_over(running, text)
        assert (stream.lost, stream.reordered) == (0, 0), (what, stream)
    assert sessions(running) == flaps


@pytest.mark.parametrize("what", HARMFUL)
def test_what_a_plan_calls_a_disruption_is_one_and_only_for_whom_it_says(running: Bed, what: str) -> None:
    change, disruption = HARMFUL[what]
    edge, other = running.edge, running.prod.host_address(4)
    target, peer = running.dev.host_address(4), running.attachment("dev-a").peers[0].address
    for address in (target, other):
        until(f"an answer from {address}", lambda address=address: traffic.reaches(edge.host, address))  # type: ignore[misc]
    flaps = sessions(running)
    index = edge.namespace.run("cat", "/sys/class/net/eth2.201/ifindex").stdout
    text = order_with(change)
    assert planned(running, text) == (disruption, {"dev-a"})
    with (
        traffic.udp_stream(edge.host, running.prod.host, other, packets_per_second=500, port=5302) as beside,
        traffic.udp_stream(edge.host, running.dev.host, target, packets_per_second=500) as stream,
    ):
        take_over(running, text)
        if disruption == "session":
            until(
                "the session to be lost",
                lambda: sessions(running).get(peer),
                accept=lambda seen: seen is None or seen[1] > flaps[peer][1] or seen[0] == 0,
            )
        else:
            until("the path to be gone", lambda: not traffic.reaches(edge.host, target))
    assert (beside.lost, beside.reordered) == (0, 0), beside
    now = sessions(running)
    assert {p: n for p, n in flaps.items() if p != peer} == {p: now[p] for p in flaps if p != peer}
    if disruption == "session":
        # Only BGP felt it: the link that was there is there.
        assert edge.namespace.run("cat", "/sys/class/net/eth2.201/ifindex").stdout == index
    else:
        assert stream.lost > 0
