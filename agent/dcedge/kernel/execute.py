"""Carries out a plan's operations on the kernel: all messages in one stream, each error back at its operation."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pyroute2.netlink.rtnl import RTM_DELLINK

from dcedge.errors import KernelError
from dcedge.kernel import proc_sys
from dcedge.kernel import rtnl_messages as m
from dcedge.kernel.address.resource import IpAddress
from dcedge.kernel.context import FINE_ON_REMOVAL, Context, Failure, LinkIndices, Step
from dcedge.kernel.culprit import Culprits
from dcedge.kernel.ranks import DELETION_GROUP
from dcedge.kernel.registry import FIRST, REFUSED, STEPS
from dcedge.kernel.resource import KernelResource
from dcedge.kernel.vrf.resource import Vrf
from dcedge.netlink.descriptions import link_message
from dcedge.netlink.layout import fields_struct
from dcedge.netlink.socket import Answer, RouteSocket
from dcedge.plan.diff import Operation

_MANY = 16
_STEPS_AT_ONCE = 4096
_LINK_INDEX = fields_struct(link_message, ("index",))


@dataclass(slots=True)
class KernelExecutor:
    """Executes operations; new links get indices above those of `indices`, every link's by name.

    Good for one pass. `created` tells the indices of the links that were made; `group_in_use`: whether somebody's
    links are in the group that mass removal uses. `vrfs_emptied` is called with the VRFs that are about to go.
    """

    sock: RouteSocket
    indices: Mapping[str, int]
    group_in_use: bool = False
    created: dict[str, int] = field(default_factory=dict)
    vrfs_emptied: Callable[[Iterable[str]], None] = lambda _: None
    highest: int = 0  # the highest index there ever was: one that is used again confuses whoever listens (zebra)
    _context: Context = field(init=False)
    _culprits: Culprits = field(init=False)

    def __post_init__(self) -> None:
        self._context = Context(self.sock, LinkIndices(self.indices), self.highest)
        self._culprits = Culprits(self.sock)

    def execute(self, operations: Sequence[Operation], *, more: bool = False) -> list[Failure]:
        """Carry out the operations in order; those that failed. An operation whose parent failed is not tried.

        Thousands at a time are put into messages, as all of them at once would take much memory. New links are set up
        when all their children are there, but for routes, which need them up; with `more`, that is still to come.
        """
        self._context.writes.clear()
        steps = [step for first in FIRST for step in first(self._context, operations)]
        for operation in operations:
            if self._context.going and not isinstance(operation.resource, Vrf):
                steps = self._without_vrfs(steps)
            if self._context.rising and _needs_links_up(operation):
                steps += self._risen()
            try:
                # Steps before an error are kept: a bond that lacks a member is a bond all the same.
                for step in self._steps(operation):
                    steps.append(step)
            except KernelError as error:
                self._context.failures[operation.key] = Failure(operation, str(error), error.retryable)
            if len(steps) >= _STEPS_AT_ONCE:
                self._send(steps)
                steps = []
        steps = self._without_vrfs(steps)
        self._send(steps if more else [*steps, *self._risen()])
        self._note_created(operations)
        self._write_settings()
        return [self._context.failures[o.key] for o in operations if o.key in self._context.failures]

    def _without_vrfs(self, steps: list[Step]) -> list[Step]:
        """Carry out the steps so far, then remove the VRFs that these have emptied; what remains to be done."""
        going, self._context.going = self._context.going, {}
        if not going:
            return steps
        self._send(steps)
        self.vrfs_emptied(going)
        self._send(list(going.values()))
        return []

    def _steps(self, operation: Operation) -> Iterator[Step]:
        if operation.refusal:
            raise KernelError(operation.refusal, errno.EEXIST)
        if (reason := self._waits_for(operation)) is not None:
            raise KernelError(reason, errno.ENODEV, retryable=True)
        return STEPS[type(operation.resource)](self._context, operation, operation.before, operation.after)

    def _note_created(self, operations: Iterable[Operation]) -> None:
        for operation in operations:
            made = operation.resource
            if operation.after is None or operation.key in self._context.failures:
                continue
            for name in made.makes if isinstance(made, KernelResource) else ():
                if operation.action != "change" or name not in self.indices:
                    self.created[name] = self._context.index(name)

    def _write_settings(self) -> None:
        for operation, path, value in self._context.writes:
            if operation.key in self._context.failures:
                continue
            try:
                proc_sys.write(path, value)
            except KernelError as error:
                self._context.failures[operation.key] = Failure(operation, str(error), True)

    def _risen(self) -> list[Step]:
        risen, self._context.rising = self._context.rising, []
        return risen

    def _send(self, steps: list[Step]) -> None:
        """Have the kernel take steps, and note what it refuses."""
        steps = self._removed_at_once(steps)
        for step, answer in zip(steps, self.sock.execute([step.request for step in steps]), strict=True):
            if answer.errno and answer.errno not in step.forgiven and step.operation.key not in self._context.failures:
                self._context.failures[step.operation.key] = self._failure(step.operation, answer)

    def _failure(self, operation: Operation, answer: Answer) -> Failure:
        for refused in REFUSED:
            if (failure := refused(self._context, operation, answer)) is not None:
                return failure
        text = self._waits_for(operation) or self._culprits.of(operation.resource, answer.errno) or str(answer)
        return Failure(operation, text, True)

    def renew(self, addresses: Iterable[IpAddress]) -> None:
        """Remove addresses and make them again, so that whoever missed the kernel's word hears it."""
        requests = [
            m.address(self._context.index(address.link), address.interface, add=add)
            for address in addresses
            for add in (False, True)
        ]
        self.sock.execute(requests)

    def _removed_at_once(self, steps: list[Step]) -> list[Step]:
        """Many links to delete are put into one group first, and the group is deleted where the first one was."""
        single = [step for step in steps if step.request.message_type == RTM_DELLINK]
        if len(single) < _MANY or self.group_in_use:
            return steps
        marks = [
            Step(
                step.operation,
                m.set_link(_LINK_INDEX.unpack_from(step.request.body)[0], group=DELETION_GROUP),
                FINE_ON_REMOVAL,
            )
            for step in single
        ]
        place = steps.index(single[0])
        others = [step for step in steps[place:] if step.request.message_type != RTM_DELLINK]
        last = Step(single[-1].operation, m.delete_group(DELETION_GROUP), FINE_ON_REMOVAL)
        return [*steps[:place], *marks, last, *others]

    def _waits_for(self, operation: Operation) -> str | None:
        parent = operation.resource.parent
        if parent is not None and parent in self._context.failures:
            return f"waits for {parent}"
        return None


def _needs_links_up(operation: Operation) -> bool:
    resource = operation.resource
    return operation.after is not None and isinstance(resource, KernelResource) and resource.needs_links_up
