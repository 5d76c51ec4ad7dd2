"""Carries out a plan's operations on the kernel: all messages in one stream, each error back at its operation."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Interface

from dcedge.errors import KernelError
from dcedge.kernel import messages as m
from dcedge.kernel import sysctl
from dcedge.kernel.naming import BOND_ALIAS, INGRESS_ALIAS, VRF_ALIAS, bond_altname, free_table
from dcedge.kernel.netlink import Answer, Request, RouteSocket
from dcedge.kernel.objects import (
    IPV4_CONF,
    IPV6_CONF,
    ROUTE_PROTOCOL,
    Bond,
    Ingress,
    IpAddress,
    Link,
    LinkLocal,
    Port,
    Route,
    Shaper,
    Sysctl,
    Vrf,
)
from dcedge.kernel.tree import tree_requests
from dcedge.kernel.view import (
    AddressView,
    addresses_on,
    dump_links,
    effective_conf6,
    hardware_address,
    ingress_filters,
    link_at,
    observe_link,
    qdiscs_of,
    tables_in_use,
)
from dcedge.plan import Operation
from dcedge.resource import Key

# What an operation wants may be so already, or be gone already: somebody was faster, and that is fine.
_FINE_ON_REMOVAL = frozenset({errno.ENODEV, errno.ENOENT, errno.EADDRNOTAVAIL, errno.ESRCH})
_THERE_ALREADY = frozenset({errno.EEXIST})
_NOT_THAT_MTU = frozenset({errno.EINVAL, errno.ERANGE})
_MANY = 16
_STEPS_AT_ONCE = 4096
ETHERNET_MTU = 1500  # what a new link has


@dataclass(frozen=True, slots=True)
class Failure:
    """An operation that did not succeed, and why, in words; `retryable`: whether another pass may help."""

    operation: Operation
    text: str
    retryable: bool


@dataclass(slots=True)
class _Step:
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
class KernelExecutor:
    """Executes operations; new links get indices above those of `indices`, every link's by name.

    Good for one pass. `created` tells the indices of the links that were made; `group_in_use`: whether somebody's
    links are in the group that mass removal uses.
    """

    sock: RouteSocket
    indices: Mapping[str, int]
    group_in_use: bool = False
    created: dict[str, int] = field(default_factory=dict)
    _indices: LinkIndices = field(init=False)
    highest: int = 0  # the highest index there ever was: one that is used again confuses whoever listens (zebra)
    _next_index: int = 0
    _writes: list[tuple[Operation, str, int]] = field(default_factory=list)
    _default6: tuple[tuple[str, int], ...] | None = None
    _failures: dict[Key, Failure] = field(default_factory=dict)
    _tables: dict[str, int] = field(default_factory=dict)
    _tables_taken: set[int] | None = None
    _leaving: set[tuple[str, str]] = field(default_factory=set)
    _rising: list[_Step] = field(default_factory=list)  # new links that are to be set up once they are complete

    def __post_init__(self) -> None:
        self._indices = LinkIndices(self.indices)
        self._next_index = self.highest

    def execute(self, operations: Sequence[Operation], *, more: bool = False) -> list[Failure]:
        """Carry out the operations in order; those that failed. An operation whose parent failed is not tried.

        Thousands at a time are put into messages, as all of them at once would take much memory. New links are set up
        when all that stands on them is there, but for routes, which need them up; with `more`, that is still to come.
        """
        self._writes.clear()
        self._leaving |= {
            (gone.link, str(gone.interface))
            for operation in operations
            if operation.after is None and isinstance(gone := operation.before, IpAddress)
        }
        steps: list[_Step] = []
        for operation in operations:
            if self._rising and isinstance(operation.after, Route):
                steps += self._risen()
            try:
                # Steps before an error are kept: a bond that lacks a member is a bond all the same.
                for step in self._steps(operation):
                    steps.append(step)
            except KernelError as error:
                self._failures[operation.key] = Failure(operation, str(error), error.retryable)
            if len(steps) >= _STEPS_AT_ONCE:
                self._send(steps)
                steps = []
        self._send(steps if more else [*steps, *self._risen()])
        for operation in operations:
            link = operation.after
            if (
                isinstance(link, Link | Vrf | Bond)
                and operation.key not in self._failures
                and operation.action != "change"
            ):
                self.created[link.name] = self._index(link.name)
            if isinstance(link, Ingress) and operation.key not in self._failures:
                self.created[link.device] = self._index(link.device)
        for operation, path, value in self._writes:
            if operation.key in self._failures:
                continue
            try:
                sysctl.write(path, value)
            except KernelError as error:
                self._failures[operation.key] = Failure(operation, str(error), True)
        return [self._failures[o.key] for o in operations if o.key in self._failures]

    def _risen(self) -> list[_Step]:
        risen, self._rising = self._rising, []
        return risen

    def _send(self, steps: list[_Step]) -> None:
        """Have the kernel take steps, and note what it refuses."""
        steps = self._removed_at_once(steps)
        for step, answer in zip(steps, self.sock.execute([step.request for step in steps]), strict=True):
            if answer.errno and answer.errno not in step.forgiven and step.operation.key not in self._failures:
                self._failures[step.operation.key] = self._failure(step.operation, answer)

    def _failure(self, operation: Operation, answer: Answer) -> Failure:
        resource = operation.resource
        if isinstance(resource, Port):
            wanted = f"port {resource.name} does not take MTU {resource.mtu_min}: {answer}"
            return Failure(replace(operation, affects=resource.needy or operation.affects), wanted, True)
        text = self._waits_for(operation) or str(answer)
        if isinstance(resource, Link) and answer.errno in _NOT_THAT_MTU:
            port = next(
                (
                    failure
                    for key, failure in self._failures.items()
                    if key.kind == "port" and set(resource.affects) & set(failure.operation.affects)
                ),
                None,
            )
            if port is not None:
                text = port.text
        return Failure(operation, text, True)

    def renew(self, addresses: Iterable[IpAddress]) -> None:
        """Remove addresses and make them again, so that whoever missed the kernel's word hears it."""
        requests = [
            m.address(self._index(address.link), address.interface, add=add)
            for address in addresses
            for add in (False, True)
        ]
        self.sock.execute(requests)

    def _removed_at_once(self, steps: list[_Step]) -> list[_Step]:
        """Many links to delete are put into one group first, and the group is deleted where the first one was."""
        single = [step for step in steps if step.request.kind == m.RTM_DELLINK]
        if len(single) < _MANY or self.group_in_use:
            return steps
        marks = [
            _Step(
                step.operation,
                m.set_link(m.LINK_BODY.unpack_from(step.request.body)[2], group=m.DELETION_GROUP),
                _FINE_ON_REMOVAL,
            )
            for step in single
        ]
        place = steps.index(single[0])
        others = [step for step in steps[place:] if step.request.kind != m.RTM_DELLINK]
        last = _Step(single[-1].operation, m.delete_group(m.DELETION_GROUP), _FINE_ON_REMOVAL)
        return [*steps[:place], *marks, last, *others]

    def _waits_for(self, operation: Operation) -> str | None:
        parent = operation.resource.parent
        if parent is not None and parent in self._failures:
            return f"waits for {parent}"
        link = operation.after
        if isinstance(link, Link) and link.master is not None and Key("vrf", link.master) in self._failures:
            return f"waits for VRF {link.master}"
        return None

    def _index(self, name: str) -> int:
        index = self._indices.get(name)
        if index is None:
            raise KernelError(f"no such interface: {name}", errno.ENODEV, retryable=True)
        return index

    def _steps(self, operation: Operation) -> Iterator[_Step]:
        if (reason := self._waits_for(operation)) is not None:
            raise KernelError(reason, errno.ENODEV, retryable=True)
        before, after = operation.before, operation.after
        match after if after is not None else before:
            case Sysctl() as setting:
                sysctl.write(setting.path, setting.value)
            case Port() as port:
                yield from self._port_steps(operation, port)
            case Vrf():
                assert before is None or isinstance(before, Vrf)
                assert after is None or isinstance(after, Vrf)
                yield from self._vrf_steps(operation, before, after)
            case Bond():
                assert before is None or isinstance(before, Bond)
                assert after is None or isinstance(after, Bond)
                yield from self._bond_steps(operation, before, after)
            case Link():
                assert before is None or isinstance(before, Link)
                assert after is None or isinstance(after, Link)
                yield from self._link_steps(operation, before, after)
            case IpAddress() | LinkLocal() as address:
                yield from self._address_steps(operation, address)
            case Route() as route:
                if after is not None or route.vrf is None or route.vrf in self._indices:
                    yield self._route_step(operation, route)  # else it is gone with its VRF
            case Ingress():
                assert before is None or isinstance(before, Ingress)
                assert after is None or isinstance(after, Ingress)
                yield from self._ingress_steps(operation, before, after)
            case Shaper():
                assert before is None or isinstance(before, Shaper)
                assert after is None or isinstance(after, Shaper)
                yield from self._shaper_steps(operation, before, after)

    def _address_steps(self, operation: Operation, address: IpAddress | LinkLocal) -> Iterator[_Step]:
        index, add = self._index(address.link), operation.after is not None
        if isinstance(address, IpAddress):
            message = m.address(index, address.interface, add=add)
            yield _Step(operation, message, _THERE_ALREADY if add else _FINE_ON_REMOVAL)
        elif add:  # the kernel's own otherwise, which goes with the link
            made = _link_local(hardware_address(self.sock, index))
            message = m.address(index, made, add=True, protocol=m.IFAPROT_KERNEL_LL)
            yield _Step(operation, message, _THERE_ALREADY)

    def _ingress_steps(self, operation: Operation, before: Ingress | None, after: Ingress | None) -> Iterator[_Step]:
        fine = _FINE_ON_REMOVAL | {errno.EINVAL}  # what is gone already, and a link without filters
        link = (after or before).link  # type: ignore[union-attr]
        index = self._indices.get(link)
        if after is None:
            assert before is not None
            if index is not None:
                others = any(to is None for to, _ in ingress_filters(self.sock, index))
                yield _Step(operation, m.delete_redirect(index) if others else m.delete_ingress_qdisc(index), fine)
            if (device := self._indices.take(before.device)) is not None:
                yield _Step(operation, m.delete_link(device), fine)
            return
        assert after.tree is not None
        device = self._indices.get(after.device)
        if before is None or device is None:
            if device is not None:
                yield _Step(operation, m.delete_link(device), fine)
            device = self._new_index(after.device)
            yield _Step(operation, m.create_ifb(device, after.device))
            yield _Step(operation, m.set_link(device, alias=INGRESS_ALIAS + link))
            before = None
        for request in tree_requests(device, before.tree if before is not None else None, after.tree):
            yield _Step(operation, request)
        if before is None or not before.redirected:
            index = self._index(link)
            yield _Step(operation, m.set_link(device, up=True))
            yield _Step(operation, m.ingress_qdisc(index), frozenset({errno.EEXIST}))
            yield _Step(operation, m.delete_redirect(index), fine)
            yield _Step(operation, m.redirect(index, device))

    def _port_steps(self, operation: Operation, port: Port) -> Iterator[_Step]:
        if operation.action == "delete":
            return
        if port.name not in self._indices:
            if port.exact:
                return  # a bond of ours, which went: there is nothing to put back
            raise KernelError(f"port {port.name} does not exist", errno.ENODEV, retryable=True)
        before = operation.before
        index = self._index(port.name)
        if port.up:
            yield _Step(operation, m.set_link(index, up=True))
        if isinstance(before, Port):
            floor = max(port.mtu_min, before.floor)
            if before.mtu_min < port.mtu_min or (port.exact and before.mtu_min > floor):
                yield _Step(operation, m.set_link(index, mtu=floor))
        elif port.mtu_min > ETHERNET_MTU:
            yield _Step(operation, m.set_link(index, mtu=port.mtu_min))  # a bond that was made just now

    def _new_index(self, name: str) -> int:
        self._next_index += 1
        self._indices[name] = self._next_index
        return self._next_index

    def _vrf_steps(self, operation: Operation, before: Vrf | None, after: Vrf | None) -> Iterator[_Step]:
        if after is None:
            assert before is not None
            if not before.foreign and (gone := self._indices.take(before.name)) is not None:
                yield from self._release(operation, gone)
                yield _Step(operation, m.delete_link(gone), _FINE_ON_REMOVAL)
        elif before is None:
            if self._tables_taken is None:
                self._tables_taken = tables_in_use(self.sock)
            table = self._tables[after.name] = free_table(after.table, self._tables_taken)
            self._tables_taken.add(table)
            index = self._new_index(after.name)
            yield _Step(operation, m.create_vrf(index, after.name, table))
            # What comes in by a link is looked up as having come in by its VRF, settings included (vrf.rst).
            yield _Step(operation, m.set_link(index, alias=VRF_ALIAS + after.name, conf4=IPV4_CONF))
        elif before.kind != "vrf":
            raise KernelError(f"{after.name} exists and is no VRF: remove it, or name the VRF otherwise", errno.EEXIST)
        else:
            yield _Step(operation, m.set_link(self._index(after.name), up=True))

    def _release(self, operation: Operation, vrf: int) -> Iterator[_Step]:
        """What stays when its VRF goes leaves it before, while its IPv6 addresses can still be read."""
        for link in dump_links(self.sock):
            if link.master == vrf and link.name in self._indices:
                yield _Step(operation, m.set_link(link.index, master=0), _FINE_ON_REMOVAL)
                yield from self._put_back_ipv6(operation, link.index, link=link.name)

    def _bond_steps(self, operation: Operation, before: Bond | None, after: Bond | None) -> Iterator[_Step]:
        if after is None:
            assert before is not None
            if not before.foreign and (gone := self._indices.take(before.name)) is not None:
                yield _Step(operation, m.delete_link(gone), _FINE_ON_REMOVAL)
                for member in before.members:
                    # The kernel leaves a released member down; it was lit, and whoever had it up has it again.
                    yield _Step(operation, m.set_link(self._index(member), up=True), _FINE_ON_REMOVAL)
            return
        if before is None:
            yield from self._make_bond(operation, after)
            return
        if not before.lacp:
            raise KernelError(
                f"{after.name} exists and is no LACP bond: remove it, or order another port", errno.EEXIST
            )
        if before.foreign:
            raise KernelError(
                f"{after.name} exists and is not dcedge's: its members are {' '.join(before.members) or 'none'},"
                f" those of the order {' '.join(after.members)}",
                errno.EEXIST,
            )
        index = self._index(after.name)
        if before.lacp_rate != after.lacp_rate:
            yield _Step(operation, m.set_link(index, up=False))
            yield _Step(operation, m.change_bond(index, lacp_rate=after.lacp_rate))
            yield _Step(operation, m.set_link(index, up=True))
            for above in self._links_upon(index):
                yield from self._put_back_ipv6(operation, above)
        if before.min_links != after.min_links:
            yield _Step(operation, m.change_bond(index, min_links=after.min_links))
        for member in before.members:
            if member not in after.members and member in self._indices:
                yield _Step(operation, m.set_link(self._index(member), master=0))
                yield _Step(operation, m.set_link(self._index(member), up=True))
        yield from self._enslave(operation, index, [name for name in after.members if name not in before.members])

    def _make_bond(self, operation: Operation, bond: Bond) -> Iterator[_Step]:
        """The bond is made at once: where there is none to be had, its members are not to be set down for it."""
        index = self._new_index(bond.name)
        (answer,) = self.sock.execute([m.create_bond(index, bond.name, bond.lacp_rate, bond.min_links)])
        if answer.errno:
            self._indices.take(bond.name)
            raise KernelError(str(answer), answer.errno, retryable=True)
        yield _Step(operation, m.altname(index, bond_altname(bond.name), add=True), _THERE_ALREADY)
        yield _Step(operation, m.set_link(index, alias=BOND_ALIAS + bond.name))
        yield from self._enslave(operation, index, bond.members)

    def _enslave(self, operation: Operation, bond: int, members: Iterable[str]) -> Iterator[_Step]:
        missing = []
        for member in members:
            index = self._indices.get(member)
            if index is None:
                missing.append(member)
                continue
            yield _Step(operation, m.set_link(index, up=False))
            yield _Step(operation, m.set_link(index, master=bond))
        if missing:
            raise KernelError(f"no such interface: {', '.join(missing)}", errno.ENODEV, retryable=True)

    def _links_upon(self, index: int) -> list[int]:
        """A link and all that stands on it, lowest first."""
        upon = [index]
        links = dump_links(self.sock)
        for at in upon:
            upon += [link.index for link in links if link.below == at and link.kind == "vlan"]
        return upon

    def _put_back_ipv6(self, operation: Operation, index: int, *, link: str = "") -> Iterator[_Step]:
        """What the kernel takes from a link that goes down or changes its VRF: its IPv6 addresses, of others too."""
        for address in addresses_on(self.sock, index):
            if _is_lost_with_link(address) and (link, str(address.interface)) not in self._leaving:
                message = m.address(index, address.interface, add=True, protocol=address.protocol)
                yield _Step(operation, message, _THERE_ALREADY)

    def _route_step(self, operation: Operation, route: Route) -> _Step:
        table = self._table(route.vrf)
        if operation.after is None:
            return _Step(operation, m.delete_route(route.prefix, table, route.metric), _FINE_ON_REMOVAL)
        hops = [(self._index(hop.link), hop.gateway) for hop in route.hops]
        return _Step(operation, m.route(route.prefix, table, route.metric, hops))

    def _table(self, vrf: str | None) -> int:
        if vrf is None:
            return m.RT_TABLE_MAIN
        if vrf not in self._tables:
            link = link_at(self.sock, self._index(vrf))
            if link is None or not link.table:
                raise KernelError(f"no such VRF: {vrf}", errno.ENODEV, retryable=True)
            self._tables[vrf] = link.table
        return self._tables[vrf]

    def _link_steps(self, operation: Operation, before: Link | None, after: Link | None) -> Iterator[_Step]:
        if before is not None and before.foreign and after is not None:
            raise KernelError(
                f"{before.name} exists and is not dcedge's: remove it, or order another VLAN", errno.EEXIST
            )
        if before is not None and (after is None or operation.action == "replace"):
            yield from self._remove_link(operation, before)
        if after is None:
            return
        if before is None or operation.action == "replace":
            yield from self._create_link(operation, after)
        else:
            yield from self._change_link(operation, before, after)

    def _remove_link(self, operation: Operation, link: Link) -> Iterator[_Step]:
        index = self._indices.take(link.name)
        if index is None:
            return
        fine = _FINE_ON_REMOVAL
        if link.tag is not None:
            yield _Step(operation, m.delete_link(index), fine)
            return
        # An untagged VI's link is the port: it stays, without our marks and without what we put on it.
        self._indices[link.name] = index
        found = observe_link(self.sock, index, qdiscs_of(self.sock, {index}))
        for address in found.addresses.get(index, ()):
            if address.protocol == ROUTE_PROTOCOL:
                self._leaving.add((link.name, str(address.interface)))
                yield _Step(operation, m.address(index, address.interface, add=False), fine)
        if any(qdisc.handle == m.ROOT_HANDLE for qdisc in found.qdiscs.get(index, ())):
            yield _Step(operation, m.delete_root(index), fine)
        if link.altname is not None:
            yield _Step(operation, m.altname(index, link.altname, add=False), fine)
        yield _Step(operation, m.set_link(index, alias="", master=0 if link.master is not None else None), fine)
        if link.master is not None:
            yield from self._put_back_ipv6(operation, index, link=link.name)

    def _create_link(self, operation: Operation, link: Link) -> Iterator[_Step]:
        if link.tag is None:
            yield from self._change_link(operation, None, link)
            return
        assert link.below is not None
        below = self._index(link.below)
        master = self._index(link.master) if link.master is not None else None
        index = self._new_index(link.name)
        yield _Step(
            operation,
            m.create_vlan(
                index,
                link.name,
                below,
                link.tag,
                link.mtu,
                link.alias,
                master=master,
                control_pcp=link.control_pcp,
            ),
        )
        yield from self._dress(operation, index, link)
        if link.up:
            # Last: as soon as it is up the kernel walks through every IPv6 route there is, once for that and once for
            # its carrier (addrconf), and whatever comes after waits for it.
            self._rising.append(_Step(operation, m.set_link(index, up=True)))

    def _dress(self, operation: Operation, index: int, link: Link) -> Iterator[_Step]:
        if link.altname is not None:
            yield _Step(operation, m.altname(index, link.altname, add=True), _THERE_ALREADY)
        yield _Step(operation, m.set_link(index, alias=link.alias, conf4=link.conf4))
        inherited = self._inherited_conf6()
        self._write_conf6(operation, link, [item for item in link.conf6 if item not in inherited])

    def _inherited_conf6(self) -> tuple[tuple[str, int], ...]:
        """What a new link starts with."""
        if self._default6 is None:
            read = ((name, sysctl.read(f"net/ipv6/conf/default/{name}")) for name, _ in IPV6_CONF)
            self._default6 = effective_conf6((name, value) for name, value in read if value is not None)
        return self._default6

    def _change_link(self, operation: Operation, before: Link | None, after: Link) -> Iterator[_Step]:
        index = self._index(after.name)
        if before is None:
            master = self._index(after.master) if after.master is not None else None
            yield _Step(operation, m.set_link(index, up=after.up, master=master))
            if master is not None:
                yield from self._put_back_ipv6(operation, index, link=after.name)
            yield from self._dress(operation, index, after)
            return
        if before.altname != after.altname:
            if before.altname is not None:
                yield _Step(operation, m.altname(index, before.altname, add=False), _FINE_ON_REMOVAL)
            if after.altname is not None:
                yield _Step(operation, m.altname(index, after.altname, add=True), _THERE_ALREADY)
        master = None
        if after.master != before.master:
            master = self._index(after.master) if after.master is not None else 0
        yield _Step(
            operation,
            m.set_link(
                index,
                up=after.up if after.up != before.up else None,
                mtu=after.mtu if after.mtu != before.mtu else None,
                alias=after.alias if after.alias != before.alias else None,
                conf4=after.conf4 if after.conf4 != before.conf4 else (),
                master=master,
            ),
        )
        if before.control_pcp != after.control_pcp:
            yield _Step(operation, m.set_control_pcp(index, after.control_pcp))
        if master is not None or (before.up and not after.up):
            yield from self._put_back_ipv6(operation, index, link=after.name)
        if before.conf6 != after.conf6:
            self._write_conf6(operation, after, after.conf6)

    def _write_conf6(self, operation: Operation, link: Link, settings: Iterable[tuple[str, int]]) -> None:
        if not self._inherited_conf6():
            return  # a kernel without IPv6
        for name, value in settings:
            self._writes.append((operation, f"net/ipv6/conf/{link.name}/{name}", value))

    def _shaper_steps(self, operation: Operation, before: Shaper | None, after: Shaper | None) -> Iterator[_Step]:
        link = (after or before).link  # type: ignore[union-attr]
        index = self._index(link)
        if before is not None and before.foreign is not None:
            if after is None:
                return
            raise KernelError(f"{link} has {before.foreign}: remove it, or order without a rate", errno.EEXIST)
        if after is None:
            yield _Step(operation, m.delete_root(index), _FINE_ON_REMOVAL)
            return
        assert after.tree is not None
        steps = tree_requests(index, before.tree if before is not None else None, after.tree)
        for request in steps:
            removal = request.kind in {m.RTM_DELQDISC, m.RTM_DELTCLASS, m.RTM_DELTFILTER}
            yield _Step(operation, request, _FINE_ON_REMOVAL if removal else frozenset())


def _link_local(hardware: bytes) -> IPv6Interface:
    """The link-local address that the kernel makes of a hardware address by default (RFC 2464, 4 and 5)."""
    if len(hardware) != 6:
        raise KernelError("the link has no hardware address to make a link-local address of", errno.EADDRNOTAVAIL)
    identifier = bytes([hardware[0] ^ 0x02]) + hardware[1:3] + b"\xff\xfe" + hardware[3:]
    return IPv6Interface((b"\xfe\x80" + bytes(6) + identifier, 64))


def _is_lost_with_link(address: AddressView) -> bool:
    return address.interface.version == 6 and not address.interface.ip.is_link_local
