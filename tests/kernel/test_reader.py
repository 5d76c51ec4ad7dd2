"""What is read of a real kernel's dumps is what pyroute2 decodes of them."""

from __future__ import annotations

from collections.abc import Iterator
from socket import AF_INET, AF_INET6
from typing import Any

import pytest
from pyroute2.netlink.rtnl.fibmsg import fibmsg
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from dcedge.kernel import counters, neighbours, questions
from dcedge.kernel.address import view as address_view
from dcedge.kernel.bond import lacp
from dcedge.kernel.capabilities import Capabilities, capabilities
from dcedge.kernel.link import view as link_view
from dcedge.kernel.link.sysctls import IPV4_CONF
from dcedge.kernel.queue import view as queue_view
from dcedge.kernel.queue.classify import control_classifier
from dcedge.kernel.queue.handles import CONTROL_HANDLE
from dcedge.kernel.queue.messages import delete_redirect, ingress_qdisc, redirect
from dcedge.kernel.queue.shaping import interface_tree
from dcedge.kernel.queue.tree import tree_requests
from dcedge.kernel.route import view as route_view
from dcedge.kernel.rtnl_messages import set_link
from dcedge.kernel.vrf import view as vrf_view
from dcedge.netlink.descriptions import link_message, queue_message
from dcedge.netlink.layout import HEADER
from dcedge.netlink.reader import ListReader, Reader
from dcedge.netlink.socket import Request, RouteSocket
from tests.lab.netns import Namespace, Workspace

pytestmark = pytest.mark.everywhere

# Each is tried by itself: which of them there are is the kernel's matter.
LINKS = (
    "link add eth1 type veth peer name far1",
    "link set dev eth1 up",
    "link set dev far1 up",
    "link set dev eth1 alias dcedge:one",
    "link property add dev eth1 altname vi-one",
    "link property add dev eth1 altname vi-two",
    "link add br0 type bridge",
    "link add dummy0 type dummy",
    "link add link eth1 name eth1.7 type vlan id 7 egress-qos-map 5:3 6:1",
    "link add link eth1 name eth1.8 type vlan proto 802.1ad id 8",
    "link add red type vrf table 77",
    "link set dev dummy0 master red",
    "link add bond0 type bond mode 802.3ad miimon 100 lacp_rate fast min_links 1",
    "link add eth2 type veth peer name far2",
    "link set dev eth2 master bond0",
    "link set dev bond0 up",
    "addr add 10.0.0.1/30 dev eth1",
    "addr add 10.9.0.1 peer 10.9.0.2/32 dev eth1",
    "addr add 2001:db8::1/64 dev eth1 nodad",
    "addr add 10.0.1.1/30 dev eth1 proto 0xdc",
    "route add 10.5.0.0/16 via 10.0.0.2 proto 220 metric 7",
    "route add 10.6.0.0/16 proto 220 table 500 nexthop via 10.0.0.2 dev eth1 nexthop via 10.9.0.2 dev eth1",
    "-6 route add 2001:db8:5::/48 via 2001:db8::2 proto 220",
    "route add default via 10.0.0.2 proto 220",
    "rule add from 10.7.0.0/16 table 400",
    "neigh add 10.0.0.2 lladdr 02:00:00:00:00:01 dev eth1",
    "neigh add 2001:db8::2 lladdr 02:00:00:00:00:01 dev eth1",
)


@pytest.fixture(scope="module")
def namespace() -> Iterator[Namespace]:
    with Workspace() as work:
        made = work.namespace("edge")
        for line in LINKS:
            made.run("ip", *line.split(), check=False)
        yield made


@pytest.fixture(scope="module")
def sock(namespace: Namespace) -> Iterator[RouteSocket]:
    with namespace.call(RouteSocket) as made:
        yield made


@pytest.fixture(scope="module")
def can(sock: RouteSocket) -> Capabilities:
    return capabilities(sock)


def index_of(sock: RouteSocket, name: str) -> int:
    return next(link.index for link in link_view.dump_links(sock) if link.name == name)


@pytest.fixture(scope="module")
def shaped(sock: RouteSocket, can: Capabilities) -> int:
    """The index of a link with every queue, class and filter of ours, and a redirect."""
    index, to = index_of(sock, "eth1"), index_of(sock, "far1")
    classifier = control_classifier([], CONTROL_HANDLE, CONTROL_HANDLE if can.skbedit else 0)
    tree = interface_tree(50_000_000_000, 1500, 24, can.queue("fq_codel"), classifier)
    requests = [
        *(set_link(index, conf4=IPV4_CONF), *tree_requests(index, None, tree)),
        *(ingress_qdisc(index), redirect(index, to)),
    ]
    answers = sock.execute(requests)
    assert not [str(answer) for answer in answers if answer.errno]
    return index


def decoded(message: type, data: memoryview, start: int, end: int) -> Any:
    """A message as pyroute2 decodes it."""
    made = message(HEADER.pack(HEADER.size + end - start, 0, 0, 0, 0) + bytes(data[start:end]))
    made.decode()
    return made


def attributes(said: Any, name: str) -> list[Any]:
    """The attributes of that name, as pyroute2's objects."""
    return [slot.nla for slot in said["attrs"] if slot.name == name]


def payload(attribute: Any) -> bytes:
    """An attribute's bytes."""
    return bytes(attribute.data[attribute.offset + 4 : attribute.offset + attribute.length])


def assert_same(read: Any, said: Any, reader: Reader) -> None:
    """That a reader has read of a message or a nest what pyroute2 says, and all that it should."""
    if isinstance(reader, ListReader):
        inner = [slot.nla for slot in said["attrs"]]
        assert len(read) == len(inner)
        for one, attribute in zip(read, inner, strict=True):
            assert_same(one, attribute, reader._item)
        return
    assert {name: read[name] for name in reader._fields} == {name: said[name] for name in reader._fields}
    for name, take, each in reader._wanted.values():
        found = attributes(said, name)
        assert (name in read) == bool(found), name
        values = read.get(name, []) if each else [read[name]] if found else []
        for value, attribute in zip(values, found if each else found[-1:], strict=True):
            nest = getattr(take, "__self__", None)
            if isinstance(nest, Reader):
                assert_same(value, attribute, nest)
            elif isinstance(value, bytes):
                assert value == payload(attribute), name
            else:
                assert value == attribute.getvalue(), name


def compare(sock: RouteSocket, request: Request, message: type, reader: Reader) -> list[tuple[Any, Any]]:
    """Each message of a dump as it was read and as pyroute2 says, after both were found to say the same."""
    found = []
    for data, start, end in sock.dump(request):
        read, said = reader.read(data, start, end), decoded(message, data, start, end)
        assert_same(read, said, reader)
        found.append((read, said))
    assert found, "the dump was empty"
    return found


def options(found: list[tuple[Any, Any]], kind: str, reader: Reader) -> int:
    """How many qdiscs, classes or filters of that kind there are, after their options were found to be the same."""
    alike = [(read, said) for read, said in found if read["TCA_KIND"] == kind and "TCA_OPTIONS" in read]
    for read, said in alike:
        (attribute,) = attributes(said, "TCA_OPTIONS")
        assert_same(reader.read_bytes(read["TCA_OPTIONS"]), attribute, reader)
    return len(alike)


@pytest.mark.usefixtures("shaped")
def test_links(sock: RouteSocket) -> None:
    kinds = {"vlan": link_view.VLAN, "bond": link_view.BOND}
    for read, said in compare(sock, questions.links(), link_message, link_view.LINK):
        info = read.get("IFLA_LINKINFO", {})
        if info.get("IFLA_INFO_KIND") in kinds:
            (link_info,) = attributes(said, "IFLA_LINKINFO")
            (data,) = attributes(link_info, "IFLA_INFO_DATA")
            reader = kinds[info["IFLA_INFO_KIND"]]
            assert_same(reader.read_bytes(info["IFLA_INFO_DATA"]), data, reader)
        conf6 = read["IFLA_AF_SPEC"]["AF_INET6"]["IFLA_INET6_CONF"]
        ((families,),) = (attributes(said, "IFLA_AF_SPEC"),)
        ((ipv6,),) = (attributes(families, "AF_INET6"),)
        assert_same(link_view.CONF6.read_bytes(conf6), attributes(ipv6, "IFLA_INET6_CONF")[0], link_view.CONF6)


def test_ipv4_settings_are_read_as_they_were_set(sock: RouteSocket, shaped: int) -> None:
    link = link_view.link_at(sock, shaped)
    assert link is not None
    assert link.conf4 == IPV4_CONF
    assert link.altnames == ("vi-one", "vi-two")


def test_counters_of_links_and_of_bonds_members(sock: RouteSocket) -> None:
    for read, said in compare(sock, questions.links(counters=True), link_message, counters.LINK):
        if "IFLA_LINKINFO" not in read:
            continue
        info = counters.LINK_INFO.read_bytes(read["IFLA_LINKINFO"])
        assert_same(info, attributes(said, "IFLA_LINKINFO")[0], counters.LINK_INFO)
        for kind, name, reader in (
            ("IFLA_INFO_KIND", "IFLA_INFO_DATA", lacp.ACTIVE),
            ("IFLA_INFO_SLAVE_KIND", "IFLA_INFO_SLAVE_DATA", lacp.MEMBER),
        ):
            if info.get(kind) == "bond" and name in info:
                (link_info,) = attributes(said, "IFLA_LINKINFO")
                (data,) = attributes(link_info, name)
                assert_same(reader.read_bytes(info[name]), data, reader)


def test_addresses(sock: RouteSocket) -> None:
    assert len(compare(sock, questions.addresses(), ifaddrmsg, address_view.ADDRESS)) > 4


def test_routes_and_their_next_hops(sock: RouteSocket) -> None:
    hops = []
    for family in (AF_INET, AF_INET6):
        for read, said in compare(sock, questions.our_routes(family), rtmsg, route_view.ROUTE):
            ways = said.get_attr("RTA_MULTIPATH")
            if ways is not None:
                read_hops = route_view.next_hops(read["RTA_MULTIPATH"])
                hops += [(index, str(gateway)) for index, gateway in read_hops]
                assert hops == [(way["oif"], way.get_attr("RTA_GATEWAY")) for way in ways]
    assert len(hops) == 2


def test_rules(sock: RouteSocket) -> None:
    found = compare(sock, questions.rules(AF_INET), fibmsg, vrf_view.RULE)
    assert 400 in {read.get("FRA_TABLE") for read, _ in found}


def test_neighbours(sock: RouteSocket) -> None:
    compare(sock, questions.neighbours(), ndmsg, neighbours.NEIGHBOUR)


def test_qdiscs_and_their_counters(sock: RouteSocket, shaped: int, can: Capabilities) -> None:
    found = compare(sock, questions.qdiscs(), queue_message, queue_view.QDISC)
    assert options(found, "htb", queue_view.HTB) == 1
    assert options(found, "tbf", queue_view.TBF) == 1
    queue = can.queue("fq_codel")
    assert options(found, queue, {"fq_codel": queue_view.FQ_CODEL_OPTIONS, "pfifo": queue_view.PFIFO}[queue]) >= 1
    compare(sock, questions.qdiscs(), queue_message, counters.QUEUE)


def test_classes(sock: RouteSocket, shaped: int) -> None:
    found = compare(sock, questions.classes(shaped), queue_message, queue_view.QDISC)
    assert options(found, "htb", queue_view.HTB) == 3


def test_filters(sock: RouteSocket, shaped: int) -> None:
    at_root = compare(sock, questions.root_filters(shaped), queue_message, queue_view.FILTER)
    assert options(at_root, "bpf", queue_view.BPF) == 1
    incoming = compare(sock, questions.ingress_filters(shaped), queue_message, queue_view.FILTER)
    assert options(incoming, "u32", queue_view.U32) >= 1
    assert queue_view.ingress_filters(sock, shaped) == [(index_of(sock, "far1"), 0xDCE)]
    (gone,) = sock.execute([delete_redirect(shaped)])
    assert not gone.errno
    assert queue_view.ingress_filters(sock, shaped) == []
