"""Every provider's profile against its twin: up from the order alone, and each demand that is missed is told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab import traffic
from tests.lab.netns import leave_on_signals
from tests.lab.twins import ADVERTISED, PROVIDERS, Twins
from tests.lab.wait import until

pytestmark = pytest.mark.timeout(240)

PATIENCE_SECONDS = 60.0  # the slowest twin's hold time does not matter: what it refuses it refuses at once


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
    try:
        made.wait_up()
    except AssertionError as error:
        vtysh = made.edge.frr.vtysh("show bgp summary", "show bfd peers brief")
        raise AssertionError(f"{error}\n{vtysh}\n{made.edge.log_end()}") from error
    return made


def told(twins: Twins) -> dict[str, tuple[str, str]]:
    """Each virtual interface's verdict and reason."""
    return {name: (vi["verdict"], vi["reason"]) for name, vi in twins.edge.virtual_interfaces().items()}


def wait_told(twins: Twins, names: tuple[str, ...], verdicts: set[str], pattern: str) -> None:
    """Wait until status gives one of the verdicts on each of them, for a reason like the pattern."""

    def all_told(seen: dict[str, tuple[str, str]]) -> bool:
        return all(name in seen and seen[name][0] in verdicts and re.search(pattern, seen[name][1]) for name in names)

    until(
        f"{sorted(verdicts)} ({pattern}) of {', '.join(names)}", lambda: told(twins), PATIENCE_SECONDS, accept=all_told
    )


def change(twins: Twins, names: tuple[str, ...], **fields: object) -> dict[str, dict[str, Any]]:
    """Change what the twins demand; returns what it was."""
    before = {name: {field: getattr(twins.attachment(name), field) for field in fields} for name in names}
    for name in names:
        twins.clouds[name].change(name, **fields)
    return before


def restore(twins: Twins, before: dict[str, dict[str, Any]]) -> None:
    """Take a change back."""
    for name, fields in before.items():
        twins.clouds[name].change(name, **fields)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_session_is_up_and_prefixes_pass_as_the_policy_says(twins: Twins, provider: str) -> None:
    cloud = twins.clouds[provider]
    (peer,) = twins.attachment(provider).peers
    for prefix in ADVERTISED:
        cloud.wait_route(peer.customer, prefix)
    assert cloud.routes(peer.customer) == set(ADVERTISED)
    routes = twins.edge.frr.json("show bgp ipv4 unicast json")["routes"]
    accepted, refused = (str(network) for network in cloud.networks)
    assert accepted in routes
    assert refused not in routes


@pytest.mark.parametrize("provider", PROVIDERS)
def test_bfd_runs_with_the_providers_timers(twins: Twins, provider: str) -> None:
    attachment = twins.attachment(provider)
    (peer,) = attachment.peers

    def facts() -> dict[str, Any]:
        peers: list[dict[str, Any]] = twins.edge.frr.json("show bfd peers json")
        return next((facts for facts in peers if facts["peer"] == peer.address), {})

    seen = until(f"BFD to {provider}", facts, accept=lambda seen: seen.get("status") == "up")
    assert (seen["transmit-interval"], seen["receive-interval"], seen["detect-multiplier"]) == (
        attachment.bfd_interval,
        attachment.bfd_interval,
        attachment.bfd_multiplier,
    )


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_lan_reaches_the_host_behind(twins: Twins, provider: str) -> None:
    target = twins.clouds[provider].host_address(4)
    until(f"an answer from {target}", lambda: traffic.reaches(twins.edge.host, target))


def test_azure_has_two_tags_and_google_a_bond_of_one_link(twins: Twins) -> None:
    links = twins.edge.namespace.run("ip", "-d", "link", "show").stdout
    assert re.search(r"vlan protocol 802\.1Q id 10 ", links)
    assert re.search(r"vlan protocol 802\.1Q id 104 ", links)
    assert re.search(r"bond0: .* mtu 1440 ", links)
    assert re.search(r"mode 802\.3ad ", links)


def test_an_mtu_is_the_providers(twins: Twins) -> None:
    for provider, largest in (("gcp", 1440), ("aws", 1500)):
        target = twins.clouds[provider].host_address(4)
        whole, over = largest - 28, largest - 27  # IPv4's and ICMP's headers
        options = ("-M", "do", "-s")
        assert traffic.ping(twins.edge.host, target, count=3, options=(*options, str(whole))).received > 0, provider
        assert traffic.ping(twins.edge.host, target, count=2, options=(*options, str(over))).received == 0, provider


KEYED = ("otc", "huawei", "aws")


@pytest.mark.parametrize(
    ("names", "demand", "verdicts", "pattern"),
    [
        pytest.param(KEYED, {"password": "Another-1"}, {"down"}, "another password", id="another password"),
        pytest.param(KEYED, {"password": None}, {"down"}, "another password", id="no password"),
        pytest.param(PROVIDERS, {"customer_asn": 65099}, {"down"}, "do not agree on the ASNs", id="another ASN"),
        pytest.param(PROVIDERS, {"ttl_security": True}, {"down"}, "BGP to .* is ", id="another TTL"),
        pytest.param(PROVIDERS, {"prefix_cap": 1}, {"down"}, "too many prefixes", id="too many prefixes"),
        pytest.param(PROVIDERS, {"bfd": False}, {"degraded"}, "BFD to .* is down while BGP is up", id="no BFD"),
    ],
)
def test_a_demand_that_is_missed_is_told(
    twins: Twins, names: tuple[str, ...], demand: dict[str, object], verdicts: set[str], pattern: str
) -> None:
    before = change(twins, names, **demand)
    try:
        wait_told(twins, names, verdicts, pattern)
        others = {name: seen for name, seen in told(twins).items() if name not in names}
        assert all(verdict == "up" for verdict, _ in others.values()), others
    finally:
        restore(twins, before)
