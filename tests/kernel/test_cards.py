"""Ports by their cards: after a boot that has named them the other way round, each is where it was ordered."""

from __future__ import annotations

import pytest

from tests.lab.edge import UNTAGGED_STATIC, Edge
from tests.lab.netns import Port, Workspace, leave_on_signals
from tests.lab.wait import until

pytestmark = [pytest.mark.everywhere, pytest.mark.timeout(300)]

CARD, OTHER = "52:54:00:aa:00:01", "52:54:00:aa:00:02"
ORDER = UNTAGGED_STATIC.replace("port: eth1,", f"port: {{mac: {CARD}}},")
RESETS = 40
OURS = "198.51.100.2/30"


def addresses(edge: Edge, name: str) -> str:
    return edge.namespace.run("ip", "-4", "-o", "address", "show", "dev", name).stdout


def test_a_virtual_interface_stays_on_its_card_when_the_names_are_swapped() -> None:
    leave_on_signals()
    with Workspace() as work:
        edge, cloud = Edge(work, ORDER), work.namespace("cloud")
        for port, address in (("eth1", CARD), ("eth2", OTHER)):
            edge.plug(port, Port(cloud, f"far-{port}"))
            edge.namespace.ip(f"link set {port} down", f"link set {port} address {address}", f"link set {port} up")
        cloud.ip("address add 198.51.100.1/30 dev far-eth1")
        edge.frr.start()
        edge.start_daemon()
        until("its address", lambda: addresses(edge, "eth1"), accept=lambda said: OURS in said)
        edge.stop_daemon()
        edge.namespace.ip(
            *("link set eth1 down", "link set eth2 down"),
            *("link set eth1 name was1", "link set eth2 name eth1", "link set was1 name eth2"),
        )
        edge.start_daemon()
        until("its address", lambda: addresses(edge, "eth2"), accept=lambda said: OURS in said)
        assert OURS not in addresses(edge, "eth1")
        until("the cloud to answer", lambda: edge.verdict("prod-a"), accept=lambda verdict: verdict[0] == "up")
        (connection,) = edge.status()["connections"]
        assert connection["port"] == "eth2"
        assert edge.dcedge("plan").status == 0
        edge.stop_daemon()


def test_a_card_that_resets_again_and_again_is_as_ordered_once_it_stays_up() -> None:
    leave_on_signals()
    order = UNTAGGED_STATIC.replace(
        "198.51.100.1}]", '198.51.100.1}, {customer: "2001:db8:1::2/126", cloud: "2001:db8:1::1"}]'
    )
    order = order.replace("accept: [10.20.0.0/16]", 'accept: [10.20.0.0/16, "2001:db8:20::/48"]')
    order = order.replace("static: [10.20.0.0/16]", 'static: [10.20.0.0/16, "2001:db8:20::/48"]')
    with Workspace() as work:
        edge, cloud = Edge(work, order), work.namespace("cloud")
        edge.plug("eth1", Port(cloud, "far"))
        cloud.ip("address add 198.51.100.1/30 dev far", "address add 2001:db8:1::1/126 dev far nodad")
        edge.frr.start()
        edge.start_daemon()
        until("the cloud to answer", lambda: edge.verdict("prod-a"), accept=lambda verdict: verdict[0] == "up")
        for _ in range(RESETS):
            edge.namespace.ip("link set eth1 down", "link set eth1 up")
        until("the cloud to answer", lambda: edge.verdict("prod-a"), accept=lambda verdict: verdict[0] == "up")

        def there() -> str:
            shown = edge.namespace.run("ip", "-o", "address", "show", "dev", "eth1").stdout
            routes = edge.namespace.run("ip", "-6", "route", "show", "2001:db8:20::/48").stdout
            return shown + routes

        def complete(said: str) -> bool:
            return all(word in said for word in (OURS, "2001:db8:1::2/126", "2001:db8:20::/48 via 2001:db8:1::1"))

        until("addresses and routes of both families", there, accept=complete)
        assert "repair of route" not in edge.log_end(1000), "nobody undid them: they went with the card"
        assert edge.dcedge("plan").status == 0
        edge.stop_daemon()
