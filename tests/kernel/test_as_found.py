"""Routers that have a life of their own: hardened settings, others' links, IPv6 by advertisement, VRFs that leak."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from dcedge.kernel.events import Changed, EventSocket
from dcedge.reconcile.result import DirtySet
from tests.kernel.test_links import TWO, Router, answers, order, router, site, vi
from tests.lab.wait import until

__all__ = ["router", "site"]

pytestmark = pytest.mark.timeout(300)

IPV4 = "addresses: [{customer: 10.255.1.2/30, cloud: 10.255.1.1}]"
ONE = "  f1: {provider: generic, port: p1, bandwidth: 1G}\n"
UNTAGGED = order(ONE, f"  a: {{connection: f1, virtual_gateway: prod, vlan: 0, bandwidth: 50M, {IPV4}}}\n")
RED = "  prod: {vpc: prod, asn: 64512, accept: any, vrf: red}\n"
# Sends one router advertisement (RFC 4861, 4.2) that makes its sender the default router for half an hour.
ADVERTISE = """
import sys
from scapy.layers.inet6 import ICMPv6ND_RA, IPv6
from scapy.layers.l2 import Ether
from scapy.sendrecv import sendp
packet = Ether(dst="33:33:00:00:00:01") / IPv6(src="fe80::1", dst="ff02::1", hlim=255)
sendp(packet / ICMPv6ND_RA(routerlifetime=1800), iface=sys.argv[1], verbose=False)
"""


def sysctl(router: Router, path: str) -> str:
    return router.edge.run("cat", f"/proc/sys/{path}").stdout.strip()


def set_sysctl(router: Router, path: str, value: int) -> None:
    router.edge.run("sh", "-c", f"echo {value} >/proc/sys/{path}")


def default_by_advertisement(router: Router) -> bool:
    return bool(router.edge.run("ip", "-6", "route", "show", "default", "proto", "ra").stdout)


def heard(events: EventSocket) -> Changed:
    """What the kernel tells, once that concerns settings or rules."""
    told = until("the kernel's word", events.changed, accept=lambda changed: changed is not None and changed.settings)
    assert told is not None
    return told


@pytest.fixture
def managed(router: Router) -> Iterator[Router]:
    """A router that has its IPv6 default over its management port, from a router there."""
    set_sysctl(router, "net/ipv6/conf/p4/accept_ra", 1)

    def advertised() -> bool:
        python = str(Path(".venv/bin/python").absolute())
        router.cloud.run(python, "-c", ADVERTISE, "p4")
        return default_by_advertisement(router)

    until("the default route by advertisement", advertised)
    yield router
    set_sysctl(router, "net/ipv6/conf/p4/accept_ra", 0)
    router.edge.run("ip", "-6", "route", "del", "default", check=False)


@pytest.mark.everywhere
def test_an_order_without_ipv6_switches_no_ipv6_forwarding_on(managed: Router) -> None:
    managed.apply(UNTAGGED)
    assert sysctl(managed, "net/ipv6/conf/all/forwarding") == "0"
    assert default_by_advertisement(managed)


@pytest.mark.everywhere
def test_with_ipv6_the_default_by_advertisement_outlives_forwarding(managed: Router) -> None:
    text = order(ONE, vi("a", "f1", 0, 1))
    managed.apply(text)
    assert sysctl(managed, "net/ipv6/conf/all/forwarding") == "1"
    assert default_by_advertisement(managed)
    assert sysctl(managed, "net/ipv6/conf/p4/accept_ra") == "2"
    assert sysctl(managed, "net/ipv6/conf/p1/accept_ra") != "2"
    managed.purge()
    assert sysctl(managed, "net/ipv6/conf/p4/accept_ra") == "1"


@pytest.mark.everywhere
def test_a_router_that_refuses_redirects_does_so_after_a_purge(router: Router) -> None:
    """The kernel sets that anew whenever forwarding is switched."""
    set_sysctl(router, "net/ipv4/ip_forward", 0)
    set_sysctl(router, "net/ipv4/conf/all/accept_redirects", 0)
    router.apply(UNTAGGED)
    router.purge()
    assert (sysctl(router, "net/ipv4/ip_forward"), sysctl(router, "net/ipv4/conf/all/accept_redirects")) == ("0", "0")


@pytest.mark.everywhere
def test_a_port_whose_virtual_interface_is_down_stays_down_until_the_purge(router: Router) -> None:
    down = UNTAGGED.replace("bandwidth: 50M", "bandwidth: 50M, admin: down")
    for _ in range(2):
        router.apply(down)
        assert "UP" not in router.link("p1")["flags"]
    router.purge()
    assert "UP" in router.link("p1")["flags"]


def test_the_default_by_advertisement_of_a_port_in_somebodys_vrf_outlives_forwarding(managed: Router) -> None:
    managed.edge.run("ip", "-6", "route", "del", "default", check=False)
    managed.edge.ip("link add mgmt type vrf table 77", "link set mgmt up", "link set dev p4 master mgmt")
    table = ("ip", "-6", "route", "show", "default", "table", "77", "proto", "ra")
    python = str(Path(".venv/bin/python").absolute())
    try:

        def advertised() -> str:
            managed.cloud.run(python, "-c", ADVERTISE, "p4")
            return managed.edge.run(*table).stdout

        until("the default route in the VRF", advertised)
        managed.apply(order(ONE, vi("a", "f1", 0, 1)))
        assert sysctl(managed, "net/ipv6/conf/all/forwarding") == "1"
        assert managed.edge.run(*table).stdout
    finally:
        managed.edge.ip("link del mgmt")


def test_somebodys_vlan_on_a_port_that_joins_a_vrf_keeps_its_addresses(router: Router) -> None:
    router.edge.ip(
        *("link add link p1 name p1.77 type vlan id 77", "link set dev p1.77 up"),
        "address add 2001:db8:77::1/64 dev p1.77 nodad",
    )
    try:
        router.apply(order(ONE, vi("a", "f1", 0, 1), RED))
        assert "2001:db8:77::1/64" in router.addresses("p1.77")
        router.purge()
        assert "2001:db8:77::1/64" in router.addresses("p1.77")
    finally:
        router.edge.ip("link del p1.77")


@pytest.mark.everywhere
def test_on_a_router_that_is_strict_about_sources_traffic_may_come_in_by_another_path(router: Router) -> None:
    """The answer's way is the other port: strictly seen, what came in by the first one has a wrong source."""
    set_sysctl(router, "net/ipv4/conf/all/rp_filter", 1)
    text = order(TWO, vi("a", "f1", 0, 1) + vi("b", "f2", 0, 2))
    try:
        router.apply(text)
        router.cloud.ip(
            *("address add 10.255.1.1/30 dev p1", "address add 10.255.2.1/30 dev p2"),
            *("address add 192.0.2.77/32 dev lo", "route add 10.255.1.2/32 dev p1 src 192.0.2.77"),
        )
        router.edge.ip("route add 192.0.2.77/32 via 10.255.2.1")
        answers(router.cloud, "-I", "192.0.2.77", "10.255.1.2")
        assert sysctl(router, "net/ipv4/conf/all/rp_filter") == "1"
    finally:
        set_sysctl(router, "net/ipv4/conf/all/rp_filter", 0)
        router.cloud.ip(
            *("address flush dev p1 scope global", "address flush dev p2 scope global"),
            "address del 192.0.2.77/32 dev lo",
        )


@pytest.mark.everywhere
def test_the_kernel_tells_of_forwarding_that_is_switched_off(router: Router) -> None:
    router.apply(UNTAGGED)
    events = router.edge.call(EventSocket)
    try:
        set_sysctl(router, "net/ipv4/ip_forward", 0)
        told = until(
            "the kernel's word", events.changed, accept=lambda changed: changed is not None and changed.settings
        )
        assert told is not None
        router.attempt(UNTAGGED, dirty=DirtySet(told.links, settings=True))
        assert sysctl(router, "net/ipv4/ip_forward") == "1"
    finally:
        events.close()


@pytest.mark.everywhere
@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_forwarding_that_is_switched_off_sends_nobody_to_each_link(router: Router, family: str) -> None:
    """Of thousands of links the kernel tells too; one that is switched off alone is looked at."""
    path, index = f"net/{family}/conf/{{}}/forwarding", router.link("p1")["ifindex"]
    set_sysctl(router, path.format("all"), 1)
    events = router.edge.call(EventSocket)

    def all_told() -> Changed:
        links, settings = set[int](), False
        while (told := events.changed()) is not None and (told.links or told.settings):
            links, settings = links | told.links, settings or told.settings
        return Changed(frozenset(links), queues=False, settings=settings)

    try:
        for value in (0, 1):
            set_sysctl(router, path.format("all"), value)
            assert all_told() == Changed(frozenset(), queues=False, settings=True)
        set_sysctl(router, path.format("p1"), 0)
        assert all_told().links == {index}
    finally:
        events.close()
        set_sysctl(router, path.format("all"), 0)


@pytest.mark.everywhere
def test_a_port_in_a_bridge_stays_in_it(router: Router) -> None:
    router.edge.ip("link add br7 type bridge", "link set dev p1 master br7")
    try:
        said = {failure.text for failure in router.attempt(UNTAGGED).failures}
        assert "p1 is a member of br7 (bridge): take it out there, or order another port" in said
        assert router.link("p1")["master"] == "br7"
    finally:
        router.edge.ip("link del br7")


@pytest.mark.everywhere
def test_a_port_is_given_back_with_its_description_mtu_and_settings(router: Router) -> None:
    router.edge.ip("link set dev p1 alias carrier-4711", "link set dev p1 mtu 1600")
    set_sysctl(router, "net/ipv4/conf/p1/rp_filter", 2)
    try:
        router.apply(UNTAGGED)
        assert (router.link("p1")["ifalias"], router.link("p1")["mtu"]) == ("dcedge:a", 1500)
        router.purge()
        assert (router.link("p1")["ifalias"], router.link("p1")["mtu"]) == ("carrier-4711", 1600)
        assert sysctl(router, "net/ipv4/conf/p1/rp_filter") == "2"
    finally:
        router.edge.ip("link set dev p1 mtu 1500")
        router.edge.run("ip", "link", "set", "dev", "p1", "alias", "")


@pytest.mark.everywhere
def test_ports_change_hands_in_one_apply(router: Router) -> None:
    first = order(TWO, vi("a", "f1", 0, 1) + vi("b", "f2", 0, 2))
    second = order(TWO, vi("a", "f2", 0, 1) + vi("b", "f1", 0, 2))
    for text, port in ((first, "p1"), (second, "p2"), (first, "p1")):
        router.apply(text)
        assert router.link(port)["ifalias"] == "dcedge:a"


def test_vlans_change_hands_in_one_apply(router: Router) -> None:
    names = "abcde"
    for shift in (0, 1, 3, 0):
        vlans = {name: 101 + (place + shift) % len(names) for place, name in enumerate(names)}
        router.apply(order(ONE, "".join(vi(name, "f1", vlan, 1 + ord(name) % 50) for name, vlan in vlans.items())))
        assert {name: router.link(f"p1.{vlan}")["ifalias"] for name, vlan in vlans.items()} == {
            name: f"dcedge:{name}" for name in names
        }


def test_a_vrf_does_not_leak_into_the_main_table(router: Router) -> None:
    router.edge.ip("address add 198.51.100.1/24 dev p3", "route add default via 198.51.100.254")
    try:
        router.apply(order(ONE, vi("a", "f1", 0, 1), RED))
        for destination in ("198.51.100.7", "203.0.113.9", "2001:db8:77::1"):
            asked = router.edge.run("ip", "route", "get", destination, "vrf", "red", check=False)
            assert asked.returncode, f"{destination} leaves by {asked.stdout}"
        router.purge()
        left = json.loads(router.edge.run("ip", "-j", "route", "show", "table", "all", "proto", "220").stdout or "[]")
        assert left == []
    finally:
        router.edge.run("ip", "route", "del", "default", check=False)
        router.edge.ip("address del 198.51.100.1/24 dev p3")


def test_the_rule_that_leads_into_vrfs_is_put_back_when_the_kernel_tells_of_its_loss(router: Router) -> None:
    text = order(ONE, vi("a", "f1", 0, 1), RED)
    router.apply(text)
    events = router.edge.call(EventSocket)
    try:
        for family in ("-4", "-6"):
            router.edge.run("ip", family, "rule", "del", "pref", "1000")
        told = until(
            "the kernel's word", events.changed, accept=lambda changed: changed is not None and changed.settings
        )
        assert told is not None
        router.attempt(text, dirty=DirtySet(told.links, settings=True))
        for family in ("-4", "-6"):
            assert "l3mdev" in router.edge.run("ip", family, "rule", "show", "pref", "1000").stdout
    finally:
        events.close()


@pytest.mark.everywhere
def test_what_comes_in_is_shaped_beside_somebodys_clsact_which_outlives_it(router: Router) -> None:
    """Cilium and many others hang their programs there, on the way in and on the way out."""
    theirs = ("protocol", "all", "prio", "7", "u32", "match", "u32", "0", "0", "flowid", "1:1")
    router.edge.run("tc", "qdisc", "add", "dev", "p1", "clsact")
    for way in ("ingress", "egress"):
        router.edge.run("tc", "filter", "add", "dev", "p1", way, *theirs)
    try:
        shown = [("tc", "filter", "show", "dev", "p1", way) for way in ("ingress", "egress")]
        before = [router.edge.run(*words).stdout for words in shown]
        router.apply(UNTAGGED.replace("bandwidth: 50M", "bandwidth: 50M, shaping: {ingress: true}"))
        assert "Egress Redirect" in router.edge.run(*shown[0]).stdout
        router.purge()
        assert [router.edge.run(*words).stdout for words in shown] == before
    finally:
        router.edge.run("tc", "qdisc", "del", "dev", "p1", "clsact")


@pytest.fixture
def encrypted(router: Router) -> Iterator[Router]:
    """A router whose first port is the lower end of a MACsec device, which takes 32 bytes a frame (IEEE 802.1AE)."""
    router.edge.ip("link set dev p1 mtu 1532", "link add link p1 name macsec0 type macsec", "link set dev macsec0 up")
    yield router
    router.purge()
    router.edge.ip("link del macsec0", "link set dev p1 mtu 1500")


MACSEC = order(
    ONE.replace("p1", "macsec0"), f"  a: {{connection: f1, virtual_gateway: prod, vlan: 7, bandwidth: 50M, {IPV4}}}\n"
)


def test_on_macsec_a_vlan_has_its_mtu_once_the_port_below_has_room_for_the_tag(encrypted: Router) -> None:
    assert encrypted.link("macsec0")["mtu"] == 1500
    said = {failure.text for failure in encrypted.attempt(MACSEC).failures}
    assert any("port macsec0 does not take MTU 1504 (1500, and 4 for the VLAN tag" in text for text in said), said
    encrypted.edge.ip("link set dev p1 mtu 1536")
    encrypted.apply(MACSEC)
    assert (encrypted.link("macsec0")["mtu"], encrypted.link("macsec0.7")["mtu"]) == (1504, 1500)
    encrypted.purge()
    assert encrypted.link("macsec0")["mtu"] == 1500


def test_on_macsec_without_a_tag_the_port_below_needs_no_more(encrypted: Router) -> None:
    encrypted.apply(MACSEC.replace("vlan: 7", "vlan: 0"))
    assert (encrypted.link("macsec0")["mtu"], encrypted.link("p1")["mtu"]) == (1500, 1532)


@pytest.mark.everywhere
def test_somebodys_address_before_ours_is_said_and_ours_outlives_it(router: Router) -> None:
    """The kernel takes an IPv4 subnet's secondary addresses away with its primary one."""
    router.edge.ip("address add 10.255.1.3/30 dev p1")
    done = router.attempt(UNTAGGED)
    assert not done.failures
    assert [text for text in done.warnings if text.startswith("10.255.1.2/30 on p1 comes after somebody's address")]
    router.edge.ip("address del 10.255.1.3/30 dev p1")
    router.apply(UNTAGGED)
    assert router.addresses("p1") == ["10.255.1.2/30"]
    assert not [text for text in router.attempt(UNTAGGED).warnings if "somebody's" in text]
