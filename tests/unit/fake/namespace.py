"""One network namespace: its links, addresses, routes and queues, and what becomes of them when the kernel is asked.

Written from what the kernel does, not from what dcedge expects of it: it refuses what the kernel refuses, and takes
along what the kernel takes along.
"""

from __future__ import annotations

import errno
import shutil
import struct
from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path
from typing import Any

from pyroute2.netlink import rtnl
from pyroute2.netlink.rtnl.fibmsg import fibmsg
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from tests.unit.fake.objects import (
    AF_INET,
    AF_INET6,
    CONF4_NUMBERS,
    CONF6,
    IFF_UP,
    KERNEL_LINK_LOCAL,
    TABLE_MAIN,
    Address,
    Link,
    Route,
    RouteKey,
    address_body,
    conf4_of,
    decode,
    encode,
    interface_of,
    link_body,
    link_local,
    route_body,
    route_key,
)
from tests.unit.fake.queues import NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, Queues
from tests.unit.fake.wire import EventWire, Message, RefusedError

RTM_NEWACTION, RTM_NEWLINKPROP, RTM_DELLINKPROP = 48, 108, 109
RTEXT_FILTER_SKIP_STATS = 8
# Before dcedge has seen to anything.
SYSCTLS = {
    "net/ipv4/ip_forward": 0,
    "net/ipv6/conf/all/forwarding": 0,
    "net/ipv4/neigh/default/gc_thresh1": 128,
    "net/ipv4/neigh/default/gc_thresh2": 512,
    "net/ipv4/neigh/default/gc_thresh3": 1024,
    "net/ipv6/neigh/default/gc_thresh1": 128,
    "net/ipv6/neigh/default/gc_thresh2": 512,
    "net/ipv6/neigh/default/gc_thresh3": 1024,
    "net/core/optmem_max": 131072,
}

Answers = Iterator[tuple[int, bytes]]


class Namespace:
    """One network namespace; `folder` is where its /proc/sys lies. `lacks`: kinds that the kernel was built without."""

    def __init__(self, folder: Path, *, lacks: Iterable[str] = ()) -> None:
        self.sysctls = folder
        self.lacks = frozenset(lacks)
        self.links: dict[int, Link] = {}
        self.routes: dict[RouteKey, Route] = {}
        self.neighbours: list[tuple[int, str, int]] = []  # index, address, state
        self.listeners: list[EventWire] = []
        for path, value in SYSCTLS.items():
            self.set_sysctl(path, value)
        for name, value in CONF6.items():
            self.set_sysctl(f"net/ipv6/conf/default/{name}", value)
        self._forwarding = self.sysctl("net/ipv6/conf/all/forwarding")

    def set_sysctl(self, path: str, value: int) -> None:
        """Somebody sets a sysctl."""
        place = self.sysctls / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"{value}\n")

    def sysctl(self, path: str) -> int:
        """A sysctl."""
        return int((self.sysctls / path).read_text())

    def _follow_forwarding(self) -> None:
        """What is set for all links is set for each of them, and for new ones (ip-sysctl.txt)."""
        forwarding = self.sysctl("net/ipv6/conf/all/forwarding")
        if forwarding != self._forwarding:
            self._forwarding = forwarding
            for name in ("default", *(link.name for link in self.links.values())):
                self.set_sysctl(f"net/ipv6/conf/{name}/forwarding", forwarding)

    def _told(self, link: Link, *, counters: bool = False) -> bytes:
        """A link's message."""
        self._follow_forwarding()
        conf6 = CONF6
        if (self.sysctls / "net/ipv6/conf" / link.name).is_dir():  # else it is just going
            conf6 = {name: self.sysctl(f"net/ipv6/conf/{link.name}/{name}") for name in CONF6}
        return link_body(link, conf6, counters=counters)

    def answer(self, request: Message) -> Answers:
        """What a look is told."""
        return LOOKS[request.kind](self, request)

    def change(self, request: Message) -> None:
        """Carry a change out. Raises RefusedError."""
        if request.kind not in CHANGES:
            raise RefusedError(errno.EOPNOTSUPP)
        self._follow_forwarding()
        CHANGES[request.kind](self, request)

    def about(self, request: Message) -> str | None:
        """The name of the link that a request is about: ifinfomsg, ifaddrmsg and tcmsg have its index at byte 4."""
        if request.kind in _WITHOUT_INDEX or len(request.body) < 8:
            return None
        (index,) = struct.unpack_from("=i", request.body, 4)
        if index in self.links:
            return self.links[index].name
        if request.kind == rtnl.RTM_NEWLINK:
            return str(decode(ifinfmsg, request).get_attr("IFLA_IFNAME"))
        return None

    def _tell(self, kind: int, write: Callable[[], bytes]) -> None:
        """Tell whoever listens; nothing is written where nobody does."""
        if self.listeners:
            body = write()
            for listener in self.listeners:
                listener.tell(kind, body)

    def _tell_link(self, link: Link, kind: int = rtnl.RTM_NEWLINK) -> None:
        self._tell(kind, lambda: self._told(link))

    def _at(self, index: int) -> Link:
        if index not in self.links:
            raise RefusedError(errno.ENODEV)
        return self.links[index]

    # Links

    def _enter(self, link: Link) -> None:
        self.links[link.index] = link
        for name in CONF6:
            self.set_sysctl(f"net/ipv6/conf/{link.name}/{name}", self.sysctl(f"net/ipv6/conf/default/{name}"))
        self._tell_link(link)

    def new_link(self, request: Message) -> None:
        """RTM_NEWLINK: a new link, or other settings of one."""
        said = decode(ifinfmsg, request)
        if said["index"] in self.links or not request.flags & NLM_F_CREATE:
            if request.flags & NLM_F_EXCL:
                raise RefusedError(errno.EEXIST)
            self._set(self._at(said["index"]), said, request)
            return
        name = said.get_attr("IFLA_IFNAME")
        if len(name) > 15:
            raise RefusedError(errno.ERANGE, "Attribute failed policy validation")
        if any(name in {link.name, *link.altnames} for link in self.links.values()):
            raise RefusedError(errno.EEXIST)
        info = said.get_attr("IFLA_LINKINFO")
        index = said["index"] or max(self.links) + 1
        link = Link(index, name, Queues(index, self.lacks), info.get_attr("IFLA_INFO_KIND"))
        data = info.get_attr("IFLA_INFO_DATA")
        if link.kind in self.lacks:
            raise RefusedError(errno.EOPNOTSUPP, "Unknown device type")
        if link.kind == "vlan":
            self._check_vlan(link, said, data)
        if data is not None:
            self._take_data(link, data)
        self._enter(link)
        try:
            self._set(link, said, request)
        except RefusedError:
            self._remove([link])
            raise

    def _check_vlan(self, link: Link, said: Any, data: Any) -> None:
        link.below = said.get_attr("IFLA_LINK")
        below = self._at(link.below)
        link.mtu = said.get_attr("IFLA_MTU") or below.mtu
        if link.mtu > below.mtu:
            raise RefusedError(errno.EINVAL)
        tag = data.get_attr("IFLA_VLAN_ID"), data.get_attr("IFLA_VLAN_PROTOCOL")
        for other in self.links.values():
            if other.below == link.below and tag == (
                other.data.get("IFLA_VLAN_ID"),
                other.data.get("IFLA_VLAN_PROTOCOL"),
            ):
                raise RefusedError(errno.EEXIST, "VLAN device already exists")

    def _take_data(self, link: Link, data: Any) -> None:
        for name, value, *_ in data["attrs"]:
            if name == "IFLA_VLAN_EGRESS_QOS":
                for mapping in value.get_attrs("IFLA_VLAN_QOS_MAPPING"):
                    link.egress_qos[mapping["from"]] = mapping["to"]
            elif name == "IFLA_BOND_AD_LACP_RATE" and link.up:
                raise RefusedError(errno.EPERM, "option cannot be set while interface is up")
            else:
                link.data[name] = value

    def change_link(self, request: Message) -> None:
        """RTM_SETLINK."""
        said = decode(ifinfmsg, request)
        self._set(self._at(said["index"]), said, request)

    def _set(self, link: Link, said: Any, request: Message) -> None:
        mtu, master, group = (said.get_attr(name) for name in ("IFLA_MTU", "IFLA_MASTER", "IFLA_GROUP"))
        info = said.get_attr("IFLA_LINKINFO")
        if info is not None and info.get_attr("IFLA_INFO_DATA") is not None:
            self._take_data(link, info.get_attr("IFLA_INFO_DATA"))
        if mtu is not None:
            self._set_mtu(link, mtu)
        if said.get_attr("IFLA_IFALIAS") is not None and not request.flags & NLM_F_CREATE:
            link.alias = said.get_attr("IFLA_IFALIAS")  # rtnl_create_link() takes none, nor settings of a family
        if group is not None:
            link.group = group
        for number, value in () if request.flags & NLM_F_CREATE else conf4_of(request):
            link.conf4[CONF4_NUMBERS[number]] = value
        if master is not None and master != link.master:
            self._enslave(link, master)
        if said["change"] & IFF_UP:
            self._set_up(link, up=bool(said["flags"] & IFF_UP))
        self._tell_link(link)

    def _set_mtu(self, link: Link, mtu: int) -> None:
        if mtu > link.mtu_max:
            raise RefusedError(errno.EINVAL, "mtu greater than device maximum")
        if link.kind == "vlan" and mtu > self.links[link.below].mtu:
            raise RefusedError(errno.ERANGE)
        link.mtu = mtu
        for above in self.links.values():
            if above.below == link.index and above.mtu > mtu:
                self._set_mtu(above, mtu)

    def _enslave(self, link: Link, master: int) -> None:
        """A bond has its members up and leaves them down, a VRF takes them down and up again."""
        before, now = (self.links[index].kind if index in self.links else "" for index in (link.master, master))
        if master and now == "bond" and link.up:
            raise RefusedError(errno.EPERM, "Error: Device can not be enslaved while up")
        if master:
            self._at(master)
        link.master, was_up = master, link.up
        self._set_up(link, up=False)
        self._set_up(link, up=now == "bond" or (was_up and before != "bond"))

    def _set_up(self, link: Link, *, up: bool) -> None:
        if up == link.up:
            return
        if up and link.kind == "vlan" and not self.links[link.below].up:
            raise RefusedError(errno.ENETDOWN)
        link.up = up
        if up:
            link.addresses.append(Address(f"{link_local(link.hardware)}/64", KERNEL_LINK_LOCAL))
        else:
            link.addresses = [one for one in link.addresses if ip_interface(one.interface).version == 4]
            self._lose_ways(link)
        for above in self.links.values():  # which its VLANs follow, up as well as down
            if above.below == link.index:
                self._set_up(above, up=up)
        self._tell_link(link)

    def delete_link(self, request: Message) -> None:
        """RTM_DELLINK: one link, or all of a group."""
        said = decode(ifinfmsg, request)
        group = said.get_attr("IFLA_GROUP")
        if group is not None and not said["index"]:
            links = [link for link in self.links.values() if link.group == group]
            if not links:
                raise RefusedError(errno.ENODEV)
        else:
            links = [self._at(said["index"])]
        if not all(link.kind for link in links):
            raise RefusedError(errno.EOPNOTSUPP)
        self._remove(links)

    def _remove(self, links: Iterable[Link]) -> None:
        for link in links:
            if link.index not in self.links:
                continue
            self._remove([other for other in self.links.values() if other.below == link.index])
            for slave in self.links.values():
                if slave.master == link.index:
                    self._enslave(slave, 0)
            del self.links[link.index]
            self._lose_ways(link)
            shutil.rmtree(self.sysctls / "net/ipv6/conf" / link.name)
            self._tell_link(link, rtnl.RTM_DELLINK)

    def change_names(self, request: Message) -> None:
        """RTM_NEWLINKPROP and RTM_DELLINKPROP: alternative names."""
        said = decode(ifinfmsg, request)
        link = self._at(said["index"])
        for name in said.get_attr("IFLA_PROP_LIST").get_attrs("IFLA_ALT_IFNAME"):
            taken = any(name in {other.name, *other.altnames} for other in self.links.values())
            if request.kind == RTM_NEWLINKPROP:
                if taken:
                    raise RefusedError(errno.EEXIST)
                link.altnames.append(name)
            elif name not in link.altnames:
                raise RefusedError(errno.ENOENT)
            else:
                link.altnames.remove(name)
        self._tell_link(link)

    def links_asked(self, request: Message) -> Answers:
        """RTM_GETLINK."""
        said = decode(ifinfmsg, request)
        counters = not (said.get_attr("IFLA_EXT_MASK") or 0) & RTEXT_FILTER_SKIP_STATS
        for link in self.links.values() if request.is_dump else [self._at(said["index"])]:
            yield rtnl.RTM_NEWLINK, self._told(link, counters=counters)

    # Addresses

    def new_address(self, request: Message) -> None:
        """RTM_NEWADDR."""
        said = decode(ifaddrmsg, request)
        link = self._at(said["index"])
        address = Address(interface_of(said), said.get_attr("IFA_PROTO") or 0)
        if any(one.interface == address.interface for one in link.addresses):
            raise RefusedError(errno.EEXIST, "Address already assigned")
        self._add_address(link, address)

    def _add_address(self, link: Link, address: Address) -> None:
        link.addresses.append(address)
        self._tell(rtnl.RTM_NEWADDR, lambda: address_body(link, address))

    def delete_address(self, request: Message) -> None:
        """RTM_DELADDR."""
        said = decode(ifaddrmsg, request)
        link = self._at(said["index"])
        for one in link.addresses:
            if one.interface == interface_of(said):
                self._remove_address(link, one)
                return
        raise RefusedError(errno.EADDRNOTAVAIL, "Address not found")

    def _remove_address(self, link: Link, address: Address) -> None:
        link.addresses.remove(address)
        self._tell(rtnl.RTM_DELADDR, lambda: address_body(link, address))

    def addresses_asked(self, request: Message) -> Answers:
        """RTM_GETADDR, of one link where its index is given (NETLINK_GET_STRICT_CHK)."""
        index = decode(ifaddrmsg, request)["index"]
        for link in [self._at(index)] if index else self.links.values():
            yield from ((rtnl.RTM_NEWADDR, address_body(link, one)) for one in link.addresses)

    # Routes and rules

    def new_route(self, request: Message) -> None:
        """RTM_NEWROUTE."""
        said = decode(rtmsg, request)
        key = route_key(said)
        ways = said.get_attr("RTA_MULTIPATH")
        if ways is None:
            hops: tuple[tuple[int, str], ...] = ((said.get_attr("RTA_OIF"), said.get_attr("RTA_GATEWAY")),)
        else:
            hops = tuple((way["oif"], way.get_attr("RTA_GATEWAY")) for way in ways)
        for index, gateway in hops:
            link = self._at(index)
            if not link.up:
                raise RefusedError(errno.ENETDOWN, "Nexthop device is not up")
            if not any(ip_address(gateway) in ip_interface(one.interface).network for one in link.addresses):
                raise RefusedError(errno.ENETUNREACH, "Nexthop has invalid gateway")
        if key in self.routes and not request.flags & NLM_F_REPLACE:
            raise RefusedError(errno.EEXIST)
        self.routes[key] = Route(hops, said["proto"])

    def delete_route(self, request: Message) -> None:
        """RTM_DELROUTE."""
        if self.routes.pop(route_key(decode(rtmsg, request)), None) is None:
            raise RefusedError(errno.ESRCH)

    def _lose_ways(self, link: Link) -> None:
        """A link went, or is down: a route that has no other way goes; IPv4 keeps the dead way, IPv6 does without."""
        for key, route in list(self.routes.items()):
            alive = tuple(hop for hop in route.hops if hop[0] in self.links and self.links[hop[0]].up)
            if not alive:
                del self.routes[key]
            elif ip_network(key.prefix).version == 6:
                route.hops = alive
            elif link.index not in self.links:
                route.hops = tuple((0 if index == link.index else index, gateway) for index, gateway in route.hops)

    def routes_asked(self, request: Message) -> Answers:
        """RTM_GETROUTE, of one protocol where it is given."""
        asked = decode(rtmsg, request)
        for key, route in self.routes.items():
            network = ip_network(key.prefix)
            family = AF_INET if network.version == 4 else AF_INET6
            if family == asked["family"] and asked["proto"] in {0, route.protocol}:
                yield rtnl.RTM_NEWROUTE, route_body(key, route)

    def rules_asked(self, request: Message) -> Answers:
        """RTM_GETRULE: those that every network namespace has."""
        family = decode(fibmsg, request)["family"]
        for table in (255, TABLE_MAIN, 253):
            yield (
                rtnl.RTM_NEWRULE,
                encode(fibmsg, {"family": family, "table": table, "action": 1}, [("FRA_TABLE", table)]),
            )

    def neighbours_asked(self, request: Message) -> Answers:
        """RTM_GETNEIGH."""
        for index, address, state in self.neighbours:
            family = AF_INET if ip_address(address).version == 4 else AF_INET6
            head = {"family": family, "ifindex": index, "state": state, "ndm_type": 1}
            yield rtnl.RTM_NEWNEIGH, encode(ndmsg, head, [("NDA_DST", address)])

    # Queues

    def _queues(self, request: Message) -> Queues:
        (index,) = struct.unpack_from("=i", request.body, 4)
        return self._at(index).queues

    def new_qdisc(self, request: Message) -> None:
        """RTM_NEWQDISC."""
        queues = self._queues(request)
        it = queues.set_qdisc(request)
        self._tell(rtnl.RTM_NEWQDISC, lambda: queues.qdisc_body(it))

    def delete_qdisc(self, request: Message) -> None:
        """RTM_DELQDISC."""
        queues = self._queues(request)
        it = queues.delete_qdisc(request)
        self._tell(rtnl.RTM_DELQDISC, lambda: queues.qdisc_body(it))

    def _remove_root(self, link: Link) -> None:
        if (root := link.queues.root) is not None:
            link.queues.drop(root)
            self._tell(rtnl.RTM_DELQDISC, lambda: link.queues.qdisc_body(root))

    def new_class(self, request: Message) -> None:
        """RTM_NEWTCLASS."""
        queues = self._queues(request)
        it = queues.set_class(request)
        self._tell(rtnl.RTM_NEWTCLASS, lambda: queues.class_body(it))

    def delete_class(self, request: Message) -> None:
        """RTM_DELTCLASS."""
        queues = self._queues(request)
        it = queues.delete_class(request)
        self._tell(rtnl.RTM_DELTCLASS, lambda: queues.class_body(it))

    def new_filter(self, request: Message) -> None:
        """RTM_NEWTFILTER."""
        queues = self._queues(request)
        it = queues.set_filter(request)
        self._tell(rtnl.RTM_NEWTFILTER, lambda: queues.filter_body(it))

    def delete_filter(self, request: Message) -> None:
        """RTM_DELTFILTER."""
        queues = self._queues(request)
        it = queues.delete_filters(request)
        self._tell(rtnl.RTM_DELTFILTER, lambda: queues.filter_body(it))

    def new_action(self, request: Message) -> None:
        """RTM_NEWACTION: none without its parameters."""
        if "skbedit" in self.lacks:
            raise RefusedError(errno.ENOENT, "Failed to load TC action module")
        raise RefusedError(errno.EINVAL)

    def qdiscs_asked(self, request: Message) -> Answers:
        """RTM_GETQDISC: of every link, whichever is asked for."""
        for link in self.links.values():
            yield from link.queues.qdisc_messages(up=link.up)

    def classes_asked(self, request: Message) -> Answers:
        """RTM_GETTCLASS, of one qdisc."""
        (parent,) = struct.unpack_from("=I", request.body, 12)
        yield from self._queues(request).class_messages(parent)

    def filters_asked(self, request: Message) -> Answers:
        """RTM_GETTFILTER, of one qdisc."""
        (parent,) = struct.unpack_from("=I", request.body, 12)
        yield from self._queues(request).filter_messages(parent)


LOOKS: dict[int, Callable[[Namespace, Message], Answers]] = {
    rtnl.RTM_GETLINK: Namespace.links_asked,
    rtnl.RTM_GETADDR: Namespace.addresses_asked,
    rtnl.RTM_GETROUTE: Namespace.routes_asked,
    rtnl.RTM_GETRULE: Namespace.rules_asked,
    rtnl.RTM_GETNEIGH: Namespace.neighbours_asked,
    rtnl.RTM_GETQDISC: Namespace.qdiscs_asked,
    rtnl.RTM_GETTCLASS: Namespace.classes_asked,
    rtnl.RTM_GETTFILTER: Namespace.filters_asked,
}
CHANGES: dict[int, Callable[[Namespace, Message], None]] = {
    rtnl.RTM_NEWLINK: Namespace.new_link,
    rtnl.RTM_SETLINK: Namespace.change_link,
    rtnl.RTM_DELLINK: Namespace.delete_link,
    RTM_NEWLINKPROP: Namespace.change_names,
    RTM_DELLINKPROP: Namespace.change_names,
    rtnl.RTM_NEWADDR: Namespace.new_address,
    rtnl.RTM_DELADDR: Namespace.delete_address,
    rtnl.RTM_NEWROUTE: Namespace.new_route,
    rtnl.RTM_DELROUTE: Namespace.delete_route,
    rtnl.RTM_NEWQDISC: Namespace.new_qdisc,
    rtnl.RTM_DELQDISC: Namespace.delete_qdisc,
    rtnl.RTM_NEWTCLASS: Namespace.new_class,
    rtnl.RTM_DELTCLASS: Namespace.delete_class,
    rtnl.RTM_NEWTFILTER: Namespace.new_filter,
    rtnl.RTM_DELTFILTER: Namespace.delete_filter,
    RTM_NEWACTION: Namespace.new_action,
}
_WITHOUT_INDEX = {rtnl.RTM_NEWROUTE, rtnl.RTM_DELROUTE, rtnl.RTM_GETROUTE, rtnl.RTM_GETRULE, RTM_NEWACTION}
