"""Every provider's profile against its twin: up from the order alone, and each demand that is missed is told."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import yaml

from tests.lab import traffic
from tests.lab.clouds import Announcement
from tests.lab.edge import written
from tests.lab.netns import Namespace, leave_on_signals
from tests.lab.twins import (
    ADVERTISED,
    AWS_MTU,
    CUSTOMER_ASN,
    GCP_MTU,
    INTERFACES,
    KEYED,
    ORDER,
    OUTER_TAG,
    PRIMARIES,
    PROVIDERS,
    Twins,
)
from tests.lab.wait import until

pytestmark = pytest.mark.timeout(600)

LAN, ANNOUNCED_BESIDES, _ = ADVERTISED
KEYED_PRIMARIES = tuple(f"{provider}-a" for provider in KEYED)
ONE_HOP = tuple(name for name in PRIMARIES if name != "gcp-a")


@pytest.fixture(scope="module")
def made() -> Iterator[Twins]:
    """The twins, the daemon running with the order for all five."""
    leave_on_signals()
    with Twins() as twins:
        twins.edge.start_daemon()
        yield twins


@pytest.fixture
def twins(made: Twins) -> Twins:
    """The twins, all up."""
    made.wait_up()
    return made


def told(twins: Twins) -> dict[str, tuple[str, str]]:
    """Each virtual interface's verdict and reason."""
    return {name: (vi["verdict"], vi["reason"]) for name, vi in twins.edge.virtual_interfaces().items()}


def wait_told(twins: Twins, verdict: str, patterns: dict[str, str]) -> None:
    """Wait until status gives each of these virtual interfaces the verdict, for a reason like its pattern."""

    def wanting(seen: dict[str, tuple[str, str]]) -> dict[str, tuple[str, str] | None]:
        return {
            name: seen.get(name)
            for name, pattern in patterns.items()
            if name not in seen or seen[name][0] != verdict or not re.search(pattern, seen[name][1])
        }

    until(f"{verdict}: {patterns}", lambda: wanting(told(twins)), accept=lambda left: not left)


@contextmanager
def demanding(twins: Twins, names: tuple[str, ...], **fields: object) -> Iterator[None]:
    """The twins speak BGP otherwise than ordered on these virtual interfaces, while the body runs."""
    before: dict[str, dict[str, Any]] = {
        name: {field: getattr(twins.attachment(name), field) for field in fields} for name in names
    }
    for name in names:
        twins.cloud_of(name).change(name, **fields)
    try:
        yield
    finally:
        for name, was in before.items():
            twins.cloud_of(name).change(name, **was)


@contextmanager
def ordering(twins: Twins, text: str) -> Iterator[None]:
    """Another order is in force while the body runs."""
    twins.edge.order.write_text(text)
    twins.edge.reload_daemon()
    try:
        yield
    finally:
        twins.edge.order.write_text(ORDER)
        twins.edge.reload_daemon()


def ordered(names: tuple[str, ...], **bgp: object) -> str:
    """The order with other settings of BGP on these virtual interfaces."""
    order = yaml.safe_load(ORDER)
    for name in names:
        order["virtual_interfaces"][name].setdefault("bgp", {}).update(bgp)
    return written(order)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_prefixes_pass_both_ways_as_the_policy_says(twins: Twins, provider: str) -> None:
    cloud = twins.clouds[provider]
    for name in cloud.attachments:
        customer = twins.peer(name).customer
        for prefix in ADVERTISED:
            cloud.wait_route(customer, prefix)
        assert cloud.routes(customer) == set(ADVERTISED)
    accepted, refused = map(str, cloud.networks)
    routes = twins.edge.frr.json("show bgp ipv4 unicast json")["routes"]
    assert {path["peerId"] for path in routes[accepted]} == {twins.peer(name).address for name in cloud.attachments}
    assert refused not in routes


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_timers_are_the_providers(twins: Twins, provider: str) -> None:
    for name, attachment in twins.clouds[provider].attachments.items():
        seen = twins.neighbour(name)
        # BGP settles on the lower hold time of the two; a third of it is the keepalive (RFC 4271, 4.2 and 10).
        assert seen["bgpTimerHoldTimeMsecs"] == attachment.hold * 1000, name
        assert seen["bgpTimerConfiguredHoldTimeMsecs"] == attachment.hold * 1000, name
        peers = {facts["peer"]: facts for facts in twins.edge.frr.json("show bfd peers json")}
        bfd = peers[twins.peer(name).address]
        assert bfd["status"] == "up", bfd
        ours = bfd["transmit-interval"], bfd["receive-interval"], bfd["detect-multiplier"]
        assert ours == (attachment.bfd_interval, attachment.bfd_interval, attachment.bfd_multiplier), name


PREPENDED = (CUSTOMER_ASN,) * 4  # three times more than its own


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("otc-a", Announcement((CUSTOMER_ASN,), frozenset(), None)),
        ("otc-b", Announcement(PREPENDED, frozenset(), None)),
        ("huawei-a", Announcement((CUSTOMER_ASN,), frozenset(), None)),
        ("huawei-b", Announcement(PREPENDED, frozenset(), None)),
        ("aws-a", Announcement((CUSTOMER_ASN,), frozenset({"7224:7300"}), None)),
        ("aws-b", Announcement(PREPENDED, frozenset({"7224:7100"}), None)),
        ("aws-c", Announcement((CUSTOMER_ASN,), frozenset({"7224:7200"}), None)),
        ("azure-a", Announcement((CUSTOMER_ASN,), frozenset(), None)),
        ("azure-b", Announcement(PREPENDED, frozenset(), None)),
        ("gcp-a", Announcement((CUSTOMER_ASN,), frozenset(), 0)),
        ("gcp-b", Announcement((CUSTOMER_ASN,), frozenset(), 100)),
    ],
)
def test_a_preference_is_said_in_the_clouds_own_terms(twins: Twins, name: str, said: Announcement) -> None:
    seen = twins.cloud_of(name).announcement(twins.peer(name).customer, LAN)
    assert seen is not None
    # FRR and BIRD add a MED of nought where none is sent.
    assert replace(seen, med=seen.med or said.med) == said


@pytest.mark.parametrize("provider", PROVIDERS)
def test_both_ends_send_over_the_primary_and_the_hosts_meet(twins: Twins, provider: str) -> None:
    cloud, primary = twins.clouds[provider], f"{provider}-a"
    target = cloud.host_address(4)
    until(f"an answer from {target}", partial(traffic.reaches, twins.edge.host, target))
    interface = twins.edge.virtual_interfaces()[primary]["interface"]
    # The backup's session may be up first, and carries everything until the primary's routes have come.
    until("the way back", partial(leaves_by, cloud.router, twins.edge.host_address(4)), accept=primary.__eq__)
    until("the way out", partial(leaves_by, twins.edge.namespace, target), accept=interface.__eq__)


def leaves_by(router: Namespace, destination: str) -> str:
    """The device by which packets to a destination leave."""
    return str(json.loads(router.run("ip", "-j", "route", "get", destination).stdout)[0]["dev"])


def test_azure_has_two_tags_and_google_a_bond_of_one_link_that_speaks_lacp(twins: Twins) -> None:
    host = twins.edge.host
    target = twins.clouds["azure"].host_address(4)
    pair = traffic.between(twins.edge.host_address(4), target)
    with traffic.Capture(twins.fibres["azure"].cloud) as line:
        until(f"an answer from {target} on the wire", lambda: traffic.reaches(host, target) and line.vlans(pair))
    assert line.vlans(pair) == {(OUTER_TAG, 104)}
    cloud_end, bond = (
        json.loads(namespace.run("ip", "-j", "-d", "link", "show", "dev", name).stdout)[0]
        for namespace, name in ((twins.exchange.namespace, "gcp-lag"), (twins.edge.namespace, "bond0"))
    )
    info = bond["linkinfo"]["info_data"]
    assert info["mode"] == "802.3ad"
    assert info["ad_info"]["partner_mac"] == cloud_end["address"]


@pytest.mark.parametrize(("name", "mtu"), [("otc-a", 1500), ("aws-a", AWS_MTU), ("azure-a", 1500), ("gcp-a", GCP_MTU)])
def test_the_largest_packet_is_the_providers(twins: Twins, name: str, mtu: int) -> None:
    edge, target = twins.edge.namespace, twins.peer(name).address
    link = json.loads(edge.run("ip", "-j", "link", "show", f"vi-{name}").stdout)[0]
    assert link["mtu"] == mtu
    whole = str(mtu - 28)  # less the headers of IPv4 and ICMP
    assert traffic.ping(edge, target, count=3, options=("-M", "do", "-s", whole)).received > 0


def test_as_many_prefixes_as_the_cloud_takes_and_not_one_more(twins: Twins) -> None:
    wide = [f"10.200.{number}.0/24" for number in range(99)]
    twins.edge.namespace.ip(*(f"route add blackhole {prefix}" for prefix in wide))
    order = yaml.safe_load(ORDER)
    try:
        order["virtual_gateways"]["otc"]["advertise"] = [LAN, *wide, ANNOUNCED_BESIDES]
        with ordering(twins, written(order)):
            refused = twins.edge.dcedge("check")
            assert refused.status == 3
            assert "101 IPv4 prefixes for otc-a; what otc takes is 100" in refused.said
        order["virtual_gateways"]["otc"]["advertise"] = [LAN, *wide]
        with ordering(twins, written(order)):
            customer = twins.peer("otc-a").customer
            until(
                "100 prefixes at the cloud",
                lambda: len(twins.clouds["otc"].routes(customer)),
                accept=lambda count: count == 100,
            )
            assert twins.clouds["otc"].state(customer) == "Established"
            assert told(twins)["otc-a"][0] == "up"
    finally:
        twins.edge.namespace.ip(*(f"route delete blackhole {prefix}" for prefix in wide))


@pytest.mark.parametrize(
    ("names", "demand", "pattern"),
    [
        pytest.param(KEYED_PRIMARIES, {"password": "Another-1"}, "another password", id="another password"),
        # A session that is gone tells less than one that is tried again, whose segments come without a digest.
        pytest.param(KEYED_PRIMARIES, {"password": None}, "no password|another password", id="no password"),
        # BIRD may have no ear for whom it does not expect, and then says nothing of ASNs.
        pytest.param(
            PRIMARIES, {"customer_asn": 65099}, "refuses our AS 65010|does not answer on TCP 179", id="another ASN"
        ),
        pytest.param(ONE_HOP, {"ttl_security": True}, "TTL", id="TTL 255 demanded"),
        pytest.param(PRIMARIES, {"prefix_cap": 1}, "more prefixes than the cloud accepts", id="too many prefixes"),
    ],
)
def test_a_demand_that_is_missed_takes_the_session_down_and_is_told(
    twins: Twins, names: tuple[str, ...], demand: dict[str, object], pattern: str
) -> None:
    with demanding(twins, names, **demand):
        wait_told(twins, "down", dict.fromkeys(names, pattern))
        until(
            "all others to be up",
            lambda: {told(twins)[name][0] for name in INTERFACES if name not in names},
            accept=lambda verdicts: verdicts == {"up"},
        )


def test_a_ttl_that_the_cloud_does_not_send_or_take_is_told(twins: Twins) -> None:
    order = yaml.safe_load(ordered(ONE_HOP, ttl_security=True))
    order["virtual_interfaces"]["gcp-a"]["bgp"]["multihop"] = 1
    with ordering(twins, written(order)):
        wait_told(twins, "down", dict.fromkeys(PRIMARIES, "TTL"))


def test_bfd_that_the_cloud_does_not_speak_is_told(twins: Twins) -> None:
    with demanding(twins, PRIMARIES, bfd=False):
        wait_told(twins, "degraded", dict.fromkeys(PRIMARIES, "BFD to .* is down while BGP is up"))


def test_bfd_that_the_cloud_speaks_slower_than_ordered_is_told(twins: Twins) -> None:
    takes = {name: 2000 * twins.attachment(name).bfd_multiplier for name in PRIMARIES}
    with demanding(twins, PRIMARIES, bfd_interval=2000):
        patterns = {name: rf"BFD to \S+ takes {span} ms to detect a failure" for name, span in takes.items()}
        wait_told(twins, "degraded", patterns)
