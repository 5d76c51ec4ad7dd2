"""Carries out a plan's operations on the kernel: all messages in one stream, each error back at its operation."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from dcedge.errors import KernelError
from dcedge.kernel import messages as m
from dcedge.kernel import sysctl
from dcedge.kernel.netlink import Request, RouteSocket
from dcedge.kernel.objects import IPV6_CONF, IpAddress, Link, Port, Shaper, Sysctl
from dcedge.kernel.view import effective_conf6
from dcedge.plan import Operation
from dcedge.resource import Key

# What an operation wants may be so already, or be gone already: somebody was faster, and that is fine.
_FINE_ON_REMOVAL = {errno.ENODEV, errno.ENOENT, errno.EADDRNOTAVAIL, errno.ESRCH}


_MANY = 16


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
    _indices: dict[str, int] = field(default_factory=dict)
    _next_index: int = 0
    _writes: list[tuple[Operation, str, int]] = field(default_factory=list)
    _default6: tuple[tuple[str, int], ...] | None = None
    _failures: dict[Key, Failure] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._indices = dict(self.indices)
        self._next_index = max(self.indices.values(), default=0)

    def execute(self, operations: Sequence[Operation]) -> list[Failure]:
        """Carry out the operations in order; those that failed. An operation whose parent failed is not tried."""
        steps: list[_Step] = []
        self._writes.clear()
        for operation in operations:
            try:
                steps.extend(self._steps(operation))
            except KernelError as error:
                self._failures[operation.key] = Failure(operation, str(error), error.retryable)
        steps = self._removed_at_once(steps)
        for step, answer in zip(steps, self.sock.execute([step.request for step in steps]), strict=True):
            if answer.errno and answer.errno not in step.forgiven and step.operation.key not in self._failures:
                text = self._waits_for(step.operation) or str(answer)
                self._failures[step.operation.key] = Failure(step.operation, text, True)
        for operation in operations:
            link = operation.after
            if isinstance(link, Link) and operation.key not in self._failures and operation.action != "change":
                self.created[link.name] = self._indices[link.name]
        for operation, path, value in self._writes:
            if operation.key in self._failures:
                continue
            try:
                sysctl.write(path, value)
            except KernelError as error:
                self._failures[operation.key] = Failure(operation, str(error), True)
        return [self._failures[o.key] for o in operations if o.key in self._failures]

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
        forgiven = frozenset(_FINE_ON_REMOVAL)
        marks = [
            _Step(
                step.operation,
                m.set_link(m.LINK_BODY.unpack_from(step.request.body)[2], group=m.DELETION_GROUP),
                forgiven,
            )
            for step in single
        ]
        place = steps.index(single[0])
        others = [step for step in steps[place:] if step.request.kind != m.RTM_DELLINK]
        last = _Step(single[-1].operation, m.delete_group(m.DELETION_GROUP), forgiven)
        return [*steps[:place], *marks, last, *others]

    def _waits_for(self, operation: Operation) -> str | None:
        parent = operation.resource.parent
        return f"waits for {parent}" if parent is not None and parent in self._failures else None

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
            case Link():
                assert before is None or isinstance(before, Link)
                assert after is None or isinstance(after, Link)
                yield from self._link_steps(operation, before, after)
            case IpAddress() as address:
                fine = frozenset({errno.EEXIST}) if after is not None else frozenset(_FINE_ON_REMOVAL)
                add = after is not None
                yield _Step(operation, m.address(self._index(address.link), address.interface, add=add), fine)
            case Shaper():
                assert before is None or isinstance(before, Shaper)
                assert after is None or isinstance(after, Shaper)
                yield from self._shaper_steps(operation, before, after)

    def _port_steps(self, operation: Operation, port: Port) -> Iterator[_Step]:
        if operation.action == "delete":
            return
        if port.name not in self._indices:
            raise KernelError(f"port {port.name} does not exist", errno.ENODEV, retryable=True)
        before = operation.before
        low = isinstance(before, Port) and before.mtu_min < port.mtu_min
        yield _Step(operation, m.set_link(self._index(port.name), up=True, mtu=port.mtu_min if low else None))

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
        index = self._indices.pop(link.name, None)
        if index is None:
            return
        fine = frozenset(_FINE_ON_REMOVAL)
        if link.tag is not None:
            yield _Step(operation, m.delete_link(index), fine)
            return
        self._indices[link.name] = index  # an untagged VI's link is the port: it stays, without our marks
        if link.altname is not None:
            yield _Step(operation, m.altname(index, link.altname, add=False), fine)
        yield _Step(operation, m.set_link(index, alias=""), fine)

    def _create_link(self, operation: Operation, link: Link) -> Iterator[_Step]:
        if link.tag is None:
            yield from self._change_link(operation, None, link)
            return
        assert link.below is not None
        below = self._index(link.below)
        self._next_index += 1
        index = self._indices[link.name] = self._next_index
        yield _Step(
            operation,
            m.create_vlan(index, link.name, below, link.tag, link.mtu, link.alias, up=link.up, master=None),
        )
        yield from self._dress(operation, index, link)

    def _dress(self, operation: Operation, index: int, link: Link) -> Iterator[_Step]:
        if link.altname is not None:
            yield _Step(operation, m.altname(index, link.altname, add=True), frozenset({errno.EEXIST}))
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
            yield _Step(operation, m.set_link(index, up=after.up))
            yield from self._dress(operation, index, after)
            return
        if before.altname != after.altname:
            if before.altname is not None:
                forgiven = frozenset(_FINE_ON_REMOVAL)
                yield _Step(operation, m.altname(index, before.altname, add=False), forgiven)
            if after.altname is not None:
                yield _Step(operation, m.altname(index, after.altname, add=True), frozenset({errno.EEXIST}))
        yield _Step(
            operation,
            m.set_link(
                index,
                up=after.up if after.up != before.up else None,
                mtu=after.mtu if after.mtu != before.mtu else None,
                alias=after.alias if after.alias != before.alias else None,
                conf4=after.conf4 if after.conf4 != before.conf4 else (),
            ),
        )
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
        if after is None:
            yield _Step(operation, m.delete_root(index), frozenset(_FINE_ON_REMOVAL))
            return
        if before is None:
            yield _Step(operation, m.htb_root(index))
        if after.htb is not None and (before is None or before.htb != after.htb):
            yield _Step(operation, m.htb_class(index, after.htb))
        queue = after.queue
        if queue is None or (before is not None and before.queue == queue):
            return
        was = before.queue if before is not None else None
        in_place = was is not None and was.kind == queue.kind
        if was is not None and (not in_place or dict(was.settings).get("flows") != dict(queue.settings).get("flows")):
            yield _Step(operation, m.delete_leaf(index), frozenset(_FINE_ON_REMOVAL))
            in_place = False
        yield _Step(operation, m.leaf(index, queue, change=in_place))
