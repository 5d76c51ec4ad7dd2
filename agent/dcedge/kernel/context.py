"""What the operations of one pass share: the socket, who has which index, what failed and what is still to be done."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from dcedge.errors import KernelError
from dcedge.kernel import proc_sys
from dcedge.kernel import rtnl_messages as m
from dcedge.kernel.address.view import AddressView, addresses_on
from dcedge.kernel.link.resource import Link
from dcedge.kernel.link.sysctls import IPV6_CONF, Settings
from dcedge.kernel.link.view import dump_links, effective_conf6, link_at
from dcedge.kernel.queue.handles import ROOT_HANDLE
from dcedge.kernel.queue.view import qdiscs_of
from dcedge.netlink.descriptions import RT_TABLE_MAIN
from dcedge.netlink.socket import Request, RouteSocket
from dcedge.plan.diff import Operation
from dcedge.plan.resource import Key

# What an operation wants may be so already, or be gone already: somebody was faster, and that is fine.
FINE_ON_REMOVAL = frozenset({errno.ENODEV, errno.ENOENT, errno.EADDRNOTAVAIL, errno.ESRCH})
GONE_WITH_VRF = FINE_ON_REMOVAL | {errno.EOPNOTSUPP, errno.EAFNOSUPPORT}  # or a kernel without IPv6
THERE_ALREADY = frozenset({errno.EEXIST})


@dataclass(frozen=True, slots=True)
class Failure:
    """An operation that did not succeed, and why, in words; `retryable`: whether another pass may help."""

    operation: Operation
    text: str
    retryable: bool


@dataclass(slots=True)
class Step:
    """One message of an operation, and the refusals of it that are fine."""

    operation: Operation
    request: Request
    forgiven: frozenset[int] = frozenset()


class LinkIndices:
    """Links' indices by name: those of before, without a copy of them, and what became of some since."""

    def __init__(self, before: Mapping[str, int]) -> None:
        self._before = before
        self._now: dict[str, int | None] = {}

    def get(self, name: str) -> int | None:
        """A link's index; None where it is not there."""
        return self._now[name] if name in self._now else self._before.get(name)

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def __setitem__(self, name: str, index: int) -> None:
        self._now[name] = index

    def take(self, name: str) -> int | None:
        """The index of a link that goes."""
        index = self.get(name)
        self._now[name] = None
        return index


@dataclass(slots=True)
class _LinksSeen:
    """The links, by index, when addresses are first put back: names, and which VLANs are on one."""

    names: dict[int, str] = field(default_factory=dict)
    vlans: dict[int, list[int]] = field(default_factory=dict)


@dataclass(slots=True)
class Context:
    """One pass's; new links get indices above `highest`, the highest that there ever was."""

    sock: RouteSocket
    indices: LinkIndices
    highest: int
    failures: dict[Key, Failure] = field(default_factory=dict)
    tables: dict[str, int] = field(default_factory=dict)  # by VRF
    tables_taken: set[int] | None = None
    leaving: set[tuple[str, str]] = field(default_factory=set)  # addresses that go, by link
    rising: list[Step] = field(default_factory=list)  # new links that are to be set up once they are complete
    going: dict[str, Step] = field(default_factory=dict)  # VRFs by name, which go once nothing is in them any more
    writes: list[tuple[Operation, str, int]] = field(default_factory=list)  # of settings, once the messages are through
    _seen: _LinksSeen | None = None
    _default6: Settings | None = None
    _with_our_root: set[int] | None = None  # by index, before this pass removed anything

    def index(self, name: str) -> int:
        """The index of a link, which must be there: else KernelError."""
        index = self.indices.get(name)
        if index is None:
            raise KernelError(f"no such interface: {name}", errno.ENODEV, retryable=True)
        return index

    def new_index(self, name: str) -> int:
        """The index that a new link gets."""
        self.highest += 1
        self.indices[name] = self.highest
        return self.highest

    def table(self, vrf: str | None) -> int:
        """The routing table of a VRF. Raises KernelError."""
        if vrf is None:
            return RT_TABLE_MAIN
        if vrf not in self.tables:
            link = link_at(self.sock, self.index(vrf))
            if link is None or not link.table:
                raise KernelError(f"no such VRF: {vrf}", errno.ENODEV, retryable=True)
            self.tables[vrf] = link.table
        return self.tables[vrf]

    def has_our_root(self, index: int) -> bool:
        """Whether the root queue of a device is ours; of thousands of them the kernel is asked once."""
        if self._with_our_root is None:
            every = qdiscs_of(self.sock).items()
            self._with_our_root = {at for at, qdiscs in every if any(qdisc.handle == ROOT_HANDLE for qdisc in qdiscs)}
        return index in self._with_our_root

    def with_vlans(self, index: int) -> list[int]:
        """A link and the VLANs on it, whosever they are, lowest first: they go down and up with it."""
        upon = [index]
        for at in upon:
            upon += self._links_seen().vlans.get(at, ())
        return upon

    def put_back_ipv6(self, operation: Operation, *indices: int) -> Iterator[Step]:
        """What the kernel takes from links that go down or change their VRF: their IPv6 addresses, of others too."""
        for index in indices:
            name = self._links_seen().names.get(index, "")
            for address in addresses_on(self.sock, index):
                if _is_lost_with_link(address) and (name, str(address.interface)) not in self.leaving:
                    message = m.address(index, address.interface, add=True, protocol=address.protocol)
                    yield Step(operation, message, THERE_ALREADY)

    def _links_seen(self) -> _LinksSeen:
        if self._seen is None:
            self._seen = _LinksSeen()
            for link in dump_links(self.sock):
                self._seen.names[link.index] = link.name
                if link.kind == "vlan":
                    self._seen.vlans.setdefault(link.below, []).append(link.index)
        return self._seen

    def inherited_conf6(self) -> tuple[tuple[str, int], ...]:
        """What a new link starts with."""
        if self._default6 is None:
            read = ((name, proc_sys.read(f"net/ipv6/conf/default/{name}")) for name, _ in IPV6_CONF)
            self._default6 = effective_conf6((name, value) for name, value in read if value is not None)
        return self._default6

    def write_conf6(self, operation: Operation, link: Link, settings: Iterable[tuple[str, int]]) -> None:
        """Have IPv6 settings of a link written, which netlink does not take."""
        if not self.inherited_conf6():
            return  # a kernel without IPv6
        for name, value in settings:
            self.writes.append((operation, f"net/ipv6/conf/{link.name}/{name}", value))


def _is_lost_with_link(address: AddressView) -> bool:
    return address.interface.version == 6 and not address.interface.ip.is_link_local
