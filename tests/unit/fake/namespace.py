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
from socket import AF_INET, AF_INET6
from typing import Any

from pyroute2.netlink import NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, rtnl
from pyroute2.netlink.rtnl import RTM_DELLINKPROP, RTM_NEWACTION, RTM_NEWLINKPROP
from pyroute2.netlink.rtnl.fibmsg import fibmsg
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import IFF_UP, ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from tests.unit.fake.objects import (
    CONF4_NUMBERS,
    CONF6,
    KERNEL_LINK_LOCAL,
    TABLE_MAIN,
    UNREACHABLE,
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
from tests.unit.fake.queues import Queues
from tests.unit.fake.wire import EventWire, Message, RefusedError

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

# struct netconfmsg, and NETCONFA_IFINDEX: all links (linux/netconf.h)
NETCONF_ALL = struct.pack("=BxxxHHi", AF_INET, 8, 1, -1)

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
        self.vrf_rules: set[int] = set()  # address families
        self.rules: list[tuple[dict[str, int], list[Any]]] = []  # somebody's, as pyroute2 encodes them
        self._had_vrf = False
        for path, value in SYSCTLS.items():
            self.set_sysctl(path, value)
        for name, value in CONF6.items():
            self.set_sysctl(f"net/ipv6/conf/default/{name}", value)
        self._forwarding = 0

    def set_sysctl(self, path: str, value: int) -> None:
        """Somebody sets a sysctl; of forwarding the kernel tells whoever listens."""
        if path.startswith("net/ipv6") and "ipv6" in self.lacks:
            return
        place = self.sysctls / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"{value}\n")
        if path in {"net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding", "net/ipv4/conf/all/rp_filter"}:
            self._tell(rtnl.RTM_NEWNETCONF, lambda: NETCONF_ALL)

    def sysctl(self, path: str) -> int:
        """A sysctl."""
        return int((self.sysctls / path).read_text())

    def _lacks_ipv6(self, link: str) -> bool:
        place = self.sysctls / f"net/ipv6/conf/{link}/disable_ipv6"
        return place.exists() and place.read_text().strip() == "1"

    def _follow_forwarding(self) -> None:
        """What is set for all links is set for each of them, and for new ones (ip-sysctl.txt)."""
        if "ipv6" in self.lacks:
            return
        forwarding = self.sysctl("net/ipv6/conf/all/forwarding")
        if forwarding != self._forwarding:
            self._forwarding = forwarding
            if forwarding:
                self._lose_advertised_defaults()
            for name in ("default", *(link.name for link in self.links.values())):
                self.set_sysctl(f"net/ipv6/conf/{name}/forwarding", forwarding)

    def _lose_advertised_defaults(self) -> None:
        """rt6_purge_dflt_routers()."""
        for key, route in list(self.routes.items()):
            if route.protocol == rtnl.rt_proto["ra"]:
                heeds = self.sysctl(f"net/ipv6/conf/{self.links[route.hops[0][0]].name}/accept_ra") == 2
                if not heeds:
                    del self.routes[key]

    def _told(self, link: Link, *, counters: bool = False) -> bytes:
        """A link's message."""
        self._follow_forwarding()
        conf6 = CONF6 if "ipv6" not in self.lacks else {}
        if (self.sysctls / "net/ipv6/conf" / link.name).is_dir():  # else it is just going
            conf6 = {name: self.sysctl(f"net/ipv6/conf/{link.name}/{name}") for name in CONF6}
        return link_body(link, conf6, counters=counters)

    def answer(self, request: Message) -> Answers:
        """What a look is told."""
        return LOOKS[request.message_type](self, request)

    def change(self, request: Message) -> None:
        """Carry a change out. Raises RefusedError."""
        if request.message_type not in CHANGES:
            raise RefusedError(errno.EOPNOTSUPP)
        self._follow_forwarding()
        CHANGES[request.message_type](self, request)

    def about(self, request: Message) -> str | None:
        """The name of the link that a request is about: ifinfomsg, ifaddrmsg and tcmsg have its index at byte 4."""
        if request.message_type in _WITHOUT_INDEX or len(request.body) < 8:
            return None
        (index,) = struct.unpack_from("=i", request.body, 4)
        if index in self.links:
            return self.links[index].name
        if request.message_type == rtnl.RTM_NEWLINK:
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
        if link.kind == "vrf" and not self._had_vrf:
            self._had_vrf = True  # vrf_add_fib_rules()
            self.vrf_rules |= {AF_INET} if "ipv6" in self.lacks else {AF_INET, AF_INET6}
        for name in () if "ipv6" in self.lacks else CONF6:
            self.set_sysctl(f"net/ipv6/conf/{link.name}/{name}", self.sysctl(f"net/ipv6/conf/default/{name}"))
        if self._lacks_ipv6("default"):
            self.set_sysctl(f"net/ipv6/conf/{link.name}/disable_ipv6", 1)
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
        if link.mtu > _mtu_for_vlans(below):
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
        if link.kind == "vlan" and mtu > _mtu_for_vlans(self.links[link.below]):
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
            shutil.rmtree(self.sysctls / "net/ipv6/conf" / link.name, ignore_errors=True)
            self._tell_link(link, rtnl.RTM_DELLINK)

    def change_names(self, request: Message) -> None:
        """RTM_NEWLINKPROP and RTM_DELLINKPROP: alternative names."""
        said = decode(ifinfmsg, request)
        link = self._at(said["index"])
        for name in said.get_attr("IFLA_PROP_LIST").get_attrs("IFLA_ALT_IFNAME"):
            taken = any(name in {other.name, *other.altnames} for other in self.links.values())
            if request.message_type == RTM_NEWLINKPROP:
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
        for link in self.links.values() if request.is_dump else [self._asked(said)]:
            yield rtnl.RTM_NEWLINK, self._told(link, counters=counters)

    def _asked(self, said: Any) -> Link:
        """The one link that is asked for, by index or by a name; an alternative name is looked for among all names."""
        name = said.get_attr("IFLA_IFNAME") or said.get_attr("IFLA_ALT_IFNAME")
        if said["index"] or name is None:
            return self._at(said["index"])
        for link in self.links.values():
            if name in {link.name, *link.altnames}:
                return link
        raise RefusedError(errno.ENODEV)

    # Addresses

    def new_address(self, request: Message) -> None:
        """RTM_NEWADDR."""
        said = decode(ifaddrmsg, request)
        link = self._at(said["index"])
        address = Address(interface_of(said), said.get_attr("IFA_PROTO") or 0)
        if any(one.interface == address.interface for one in link.addresses):
            raise RefusedError(errno.EEXIST, "Address already assigned")
        self._check_family(said["family"], errno.EOPNOTSUPP)
        if ":" in address.interface and self._lacks_ipv6(link.name):
            raise RefusedError(errno.EACCES, "IPv6 is disabled on this device")
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
        if said["type"] == UNREACHABLE:
            self._check_family(said["family"], errno.EOPNOTSUPP)
            self.routes[key] = Route((), said["proto"], UNREACHABLE)
            return
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
            if route.type == UNREACHABLE:
                continue
            alive = tuple(hop for hop in route.hops if hop[0] in self.links and self.links[hop[0]].up)
            if not alive:
                del self.routes[key]
            elif ip_network(key.prefix).version == 6:
                route.hops = alive
            elif link.index not in self.links:
                route.hops = tuple((0 if index == link.index else index, gateway) for index, gateway in route.hops)

    def routes_asked(self, request: Message) -> Answers:
        """RTM_GETROUTE, of one protocol and table where they are given."""
        asked = decode(rtmsg, request)
        self._check_family(asked["family"], errno.EOPNOTSUPP)
        for key, route in self.routes.items():
            network = ip_network(key.prefix)
            family = AF_INET if network.version == 4 else AF_INET6
            table = asked["table"] in {0, key.table}
            if family == asked["family"] and asked["proto"] in {0, route.protocol} and table:
                yield rtnl.RTM_NEWROUTE, route_body(key, route)

    def rules_asked(self, request: Message) -> Answers:
        """RTM_GETRULE: those that every network namespace has, and the one that comes with its first VRF."""
        family = decode(fibmsg, request)["family"]
        self._check_family(family, errno.EAFNOSUPPORT)
        if family in self.vrf_rules:
            yield (
                rtnl.RTM_NEWRULE,
                encode(fibmsg, {"family": family, "action": 1}, [("FRA_L3MDEV", 1), ("FRA_PRIORITY", 1000)]),
            )
        for head, attrs in self.rules:
            yield rtnl.RTM_NEWRULE, encode(fibmsg, {"family": family, **head}, attrs)
        for table in (255, TABLE_MAIN, 253):
            yield (
                rtnl.RTM_NEWRULE,
                encode(fibmsg, {"family": family, "table": table, "action": 1}, [("FRA_TABLE", table)]),
            )

    def new_rule(self, request: Message) -> None:
        """RTM_NEWRULE: the one for VRFs."""
        said = decode(fibmsg, request)
        self._check_family(said["family"], errno.EAFNOSUPPORT)
        if not said.get_attr("FRA_L3MDEV"):
            raise RefusedError(errno.EOPNOTSUPP)
        if said["family"] in self.vrf_rules:
            raise RefusedError(errno.EEXIST)
        self.vrf_rules.add(said["family"])

    def _check_family(self, family: int, code: int) -> None:
        if family == AF_INET6 and "ipv6" in self.lacks:
            raise RefusedError(code)

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


def _mtu_for_vlans(below: Link) -> int:
    """What a VLAN may have at most (vlan_dev_change_mtu() and netif_reduces_vlan_mtu())."""
    return below.mtu - (4 if below.kind == "macsec" else 0)


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
    rtnl.RTM_NEWRULE: Namespace.new_rule,
    rtnl.RTM_DELROUTE: Namespace.delete_route,
    rtnl.RTM_NEWQDISC: Namespace.new_qdisc,
    rtnl.RTM_DELQDISC: Namespace.delete_qdisc,
    rtnl.RTM_NEWTCLASS: Namespace.new_class,
    rtnl.RTM_DELTCLASS: Namespace.delete_class,
    rtnl.RTM_NEWTFILTER: Namespace.new_filter,
    rtnl.RTM_DELTFILTER: Namespace.delete_filter,
    RTM_NEWACTION: Namespace.new_action,
}
_WITHOUT_INDEX = {
    rtnl.RTM_NEWROUTE,
    rtnl.RTM_DELROUTE,
    rtnl.RTM_GETROUTE,
    rtnl.RTM_GETRULE,
    rtnl.RTM_NEWRULE,
    RTM_NEWACTION,
}
