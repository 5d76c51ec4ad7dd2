"""A kernel in miniature behind the netlink socket: links, addresses, routes, queues, rules, neighbours, events.

It stands below pyroute2's socket, in the place of the kernel's. It reads what dcedge sends by pyroute2's plain
decoding, queues by structures of its own; and it was written from what the kernel does, not from what dcedge expects of
it: it refuses what the kernel refuses, takes along what the kernel takes along, and has addresses of its own.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyroute2.netlink import rtnl
from pyroute2.netlink.rtnl import TC_H_ROOT

from dcedge.kernel.events import EventSocket
from dcedge.netlink.socket import RouteSocket
from tests.unit.fake.namespace import CHANGES, LOOKS, SYSCTLS, Namespace
from tests.unit.fake.objects import TABLE_MAIN, Address, Link, Route, RouteKey
from tests.unit.fake.queues import HtbClass, Qdisc, Queues
from tests.unit.fake.wire import EventWire, Message, RefusedError, Wire

_NAMES = {kind: rtnl.RTM_VALUES[kind] for kind in (*LOOKS, *CHANGES)}


@dataclass
class _Refusal:
    kinds: tuple[int, ...]
    error: RefusedError | None  # None: acknowledged, and not done
    where: str | None
    times: int


@dataclass(frozen=True)
class Asked:
    """A look of dcedge's: `what` is RTM_GET…, `link` the name of the one it was about, or None for all."""

    what: str
    link: str | None


class FakeKernel(Namespace):
    """A network namespace that can be told to go wrong, and in which others are at work; see `Namespace`.

    `asked` are the looks and `done` the changes that dcedge has asked for, by name, since they were last cleared.
    """

    def __init__(self, folder: Path, *, lacks: Iterable[str] = ()) -> None:
        super().__init__(folder, lacks=lacks)
        self.asked: list[Asked] = []
        self.done: list[str] = []
        self._interruptions = 0
        self._refusals: list[_Refusal] = []
        self._meanwhile: list[Callable[[], object]] = []
        self._wire = Wire(self._carry_out, self._is_interrupted)
        self.add_link("lo", up=True)

    # How dcedge comes in

    def socket(self) -> RouteSocket:
        """dcedge's own socket on this kernel; `overrun` is about the one that was opened last."""
        self._wire = Wire(self._carry_out, self._is_interrupted)
        return RouteSocket(wire=self._wire)

    def events(self, room: int = 10_000) -> EventSocket:
        """dcedge's own event socket on this kernel, in which so many events may wait."""
        wire = EventWire(room)
        self.listeners.append(wire)
        return EventSocket(wire=wire)

    # What may go wrong

    def refuse(self, *kinds: str, code: int, text: str = "", where: str | None = None, times: int = 1_000_000) -> None:
        """Refuse requests of these kinds (`RTM_NEWADDR`), at one link or at any."""
        self._refusals.append(_Refusal(_numbers(kinds), RefusedError(code, text), where, times))

    def pretend(self, *kinds: str, where: str | None = None, times: int = 1_000_000) -> None:
        """Acknowledge requests of these kinds, and do nothing."""
        self._refusals.append(_Refusal(_numbers(kinds), None, where, times))

    def behave(self) -> None:
        """Refuse nothing any more, and do what is acknowledged."""
        self._refusals.clear()

    def interrupt_dumps(self, times: int) -> None:
        """As many dumps from now on find their table changed on the way."""
        self._interruptions = times

    def overrun(self) -> None:
        """The next reception on dcedge's socket fails, as the kernel had to drop an answer."""
        self._wire.fails.append(errno.ENOBUFS)

    def meanwhile(self, change: Callable[[], object]) -> None:
        """Somebody else does something right behind dcedge's next change."""
        self._meanwhile.append(change)

    # What others do, and how it looks

    def link(self, name: str) -> Link:
        """The link of that name, which must be there."""
        return next(link for link in self.links.values() if link.name == name)

    @property
    def names(self) -> set[str]:
        """Of every link but the loopback."""
        return {link.name for link in self.links.values()} - {"lo"}

    def add_link(
        self, name: str, *, kind: str = "", below: str | None = None, vlan: int | None = None, **settings: Any
    ) -> Link:
        """Somebody makes a link; with `vlan` one of 802.1Q."""
        index = max(self.links, default=0) + 1
        kind = "vlan" if vlan is not None else kind
        link = Link(index, name, Queues(index, self.lacks), kind, below=self.link(below).index if below else 0)
        if vlan is not None:
            link.data |= {"IFLA_VLAN_ID": vlan, "IFLA_VLAN_PROTOCOL": 0x8100}
        up = settings.pop("up", False)
        for setting, value in settings.items():
            assert hasattr(link, setting)
            setattr(link, setting, value)
        self._enter(link)
        self._set_up(link, up=up)
        return link

    def remove_link(self, name: str) -> None:
        """Somebody removes a link."""
        self._remove([self.link(name)])

    def set_link(self, name: str, **settings: Any) -> None:
        """Somebody changes a link."""
        link = self.link(name)
        for setting, value in settings.items():
            assert hasattr(link, setting)
            if setting == "up":
                self._set_up(link, up=value)
            else:
                setattr(link, setting, value)
        self._tell_link(link)

    def set_carrier(self, name: str, *, up: bool) -> None:
        """The light on a port comes or goes; its children follow."""
        port = self.link(name)
        for link in self.links.values():
            if port.index in {link.index, link.below}:
                link.carrier, link.carrier_changes = up, link.carrier_changes + 1
                self._tell_link(link)

    def add_address(self, name: str, interface: str) -> None:
        """Somebody gives a link an address."""
        self._add_address(self.link(name), Address(interface))

    def remove_address(self, name: str, interface: str) -> None:
        """Somebody takes an address away."""
        link = self.link(name)
        self._remove_address(link, next(one for one in link.addresses if one.interface == interface))

    def addresses(self, name: str) -> set[str]:
        """Those of a link, but for the link-local one."""
        return {one.interface for one in self.link(name).addresses if not one.is_link_local}

    def link_local(self, name: str) -> str:
        """A link's link-local address."""
        return next(one.interface for one in self.link(name).addresses if one.is_link_local)

    def remove_route(self, prefix: str) -> None:
        """Somebody removes the routes to a prefix."""
        self.routes = {key: route for key, route in self.routes.items() if key.prefix != prefix}

    def gateways(self, prefix: str) -> list[tuple[str, ...]]:
        """Where the routes to a prefix lead, in the order of their metrics."""
        found = sorted((key.metric, route) for key, route in self.routes.items() if key.prefix == prefix)
        return [tuple(gateway for _, gateway in route.hops) for _, route in found]

    def remove_vrf_rules(self) -> None:
        """Somebody deletes the rules that lead into VRFs."""
        for family in tuple(self.vrf_rules):
            self.vrf_rules.discard(family)
            self._tell(rtnl.RTM_DELRULE, lambda: b"\0" * 12)

    def add_advertised_default(self, name: str, table: int = TABLE_MAIN) -> None:
        """A router on a link has advertised itself as the IPv6 default; `table`: of the VRF that the link is in."""
        key = RouteKey("::/0", table, 1024)
        self.routes[key] = Route(((self.link(name).index, ""),), rtnl.rt_proto["ra"])

    def has_advertised_default(self) -> bool:
        """Whether that is still so: it is not on a link that forwards and does not heed advertisements all the same."""
        self._follow_forwarding()
        return any(route.protocol == rtnl.rt_proto["ra"] for route in self.routes.values())

    def add_qdisc(self, name: str, kind: str, handle: int, parent: int = TC_H_ROOT) -> None:
        """Somebody puts a qdisc on a link: its root, unless told."""
        link = self.link(name)
        if parent == TC_H_ROOT:
            self._remove_root(link)
        made = Qdisc(kind, handle, parent, {0: struct.pack("=I", 10)})
        link.queues.qdiscs.append(made)
        self._tell(rtnl.RTM_NEWQDISC, lambda: link.queues.qdisc_body(made))

    def remove_root(self, name: str) -> None:
        """Somebody removes a link's root qdisc."""
        self._remove_root(self.link(name))

    def picture(self) -> dict[str, object]:
        """All that there is, to be compared with what there was; of settings, those of the whole namespace."""
        links = {
            link.name: (
                *(link.kind, link.mtu, link.up, link.master, link.alias, tuple(link.altnames)),
                *(frozenset(self.addresses(link.name)), tuple(one.kind for one in link.queues.qdiscs)),
            )
            for link in self.links.values()
        }
        names = {link.index: link.name for link in self.links.values()}
        routes = {key: tuple((names[index], way) for index, way in r.hops) for key, r in self.routes.items()}
        sysctls = {path: self.sysctl(path) for path in SYSCTLS if (self.sysctls / path).exists()}
        return {"links": links, "routes": routes, "sysctls": sysctls}

    def set_class(self, name: str, minor: int, *, rate: int) -> None:
        """Somebody changes an HTB class's rate, in bytes a second."""
        link = self.link(name)
        htb = self.htb_class(name, minor)
        htb.rate = htb.ceil = rate
        self._tell(rtnl.RTM_NEWTCLASS, lambda: link.queues.class_body(htb))

    def htb_class(self, name: str, minor: int) -> HtbClass:
        """A class of a link's tree."""
        return next(htb for htb in self.link(name).queues.classes.values() if htb.handle & 0xFFFF == minor)

    def root(self, name: str) -> tuple[str, str] | None:
        """Kind and handle of a link's root qdisc, as tc writes them; None where it is the default."""
        root = self.link(name).queues.root
        return (root.kind, f"{root.handle >> 16:x}:") if root is not None else None

    def _is_interrupted(self) -> bool:
        self._interruptions -= 1
        return self._interruptions >= 0

    def _carry_out(self, request: Message) -> list[tuple[int, bytes]]:
        name = self.about(request)
        if request.message_type in LOOKS:
            self.asked.append(Asked(_NAMES[request.message_type], name))
            return list(self.answer(request))
        for refusal in self._refusals:
            if refusal.times and request.message_type in refusal.kinds and refusal.where in {None, name}:
                refusal.times -= 1
                if refusal.error is not None:
                    raise refusal.error
                return []
        self.change(request)
        self.done.append(f"{_NAMES[request.message_type]} {self.about(request) or name}")
        while self._meanwhile:
            self._meanwhile.pop()()
        return []


def _numbers(kinds: Iterable[str]) -> tuple[int, ...]:
    known = {name: number for number, name in _NAMES.items()}
    return tuple(known[kind] for kind in kinds)
