"""nft itself: one process a look or a transaction, and the kernel's word on whether anything changed since.

The table is listed only when the generation of the kernel's ruleset is another than at the last look: with thousands
of virtual interfaces a listing costs a hundred times what asking for the generation does.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from pyroute2.netlink import NETLINK_NETFILTER
from pyroute2.netlink.nfnetlink import NFNL_SUBSYS_NFTABLES, NFNLGRP_NFTABLES
from pyroute2.netlink.nfnetlink.nftsocket import NFT_MSG_GETGEN, NFT_MSG_NEWGEN, nft_gen_msg, nft_table_msg

from dcedge.errors import DcedgeError, KernelError
from dcedge.firewall.difference import commands
from dcedge.firewall.listing import (
    clamps_of,
    is_ours,
    read_counts,
    read_table,
    resources_of,
    sources_of,
    table_of,
)
from dcedge.firewall.nft_table import CONTROL_PLANE, COUNTERS, ISOLATED, SPOOFED, Command, Json, Table
from dcedge.firewall.objects import TABLE_KEY, TABLE_NAME, FirewallTable, GatewaySources, Guard
from dcedge.firewall.ruleset import render
from dcedge.kernel.context import Failure
from dcedge.netlink.event_receiver import EventReceiver, EventsLostError, messages_in
from dcedge.netlink.reader import Reader
from dcedge.netlink.socket import RouteSocket
from dcedge.netlink.templates import request
from dcedge.plan.diff import Operation
from dcedge.plan.resource import Key, Resource, State

log = logging.getLogger(__name__)

_TIMEOUT_SECONDS = 60.0
_PLACES = os.pathsep.join(("/usr/sbin", "/sbin", os.defpath))
_SUBSYSTEM, _SUBSYSTEM_MASK = NFNL_SUBSYS_NFTABLES << 8, 0xFF00
_GENERATION = Reader(nft_gen_msg, "NFTA_GEN_ID")
# NFTA_CHAIN_TABLE, NFTA_RULE_TABLE and all the others are the same attribute as NFTA_TABLE_NAME.
_TABLE = Reader(nft_table_msg, "NFTA_TABLE_NAME")
_GENERATION_MAX = 2**32 - 1
_PERMANENT = {errno.EOPNOTSUPP, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.EPERM}


class FirewallError(DcedgeError):
    """nft refused, or the firewall cannot be had here at all; `retryable`: whether another pass may help."""

    def __init__(self, text: str, *, retryable: bool = False) -> None:
        super().__init__(text)
        self.retryable = retryable


@dataclass(frozen=True, slots=True)
class Dropped:
    """What was dropped at one link, in packets: sources that are not the gateway's, packets to another gateway, and
    what has no business with the router itself."""

    spoofed: int
    isolated: int
    control_plane: int


@dataclass(slots=True)
class Firewall:
    """Our table in the network namespace of the thread that calls. One thread at a time."""

    _generation: int | None = None
    _state: dict[Key, Resource] = field(default_factory=dict)
    _unusable: str | None = None
    _tried: bool = False

    def observe(self, intended: State) -> dict[Key, Resource]:
        """What is in force, as resources. Raises FirewallError where that cannot be had or looked at.

        Where nothing is wanted, a machine that cannot have it is fine.
        """
        try:
            self._require_nft()
        except FirewallError:
            if intended:
                raise
            return {}
        generation = ruleset_generation()
        if generation is None or generation != self._generation:
            self._state = resources_of(table, intended) if (table := _list_table()) is not None else {}
            self._generation = generation
        return dict(self._state)

    def execute(self, operations: Sequence[Operation]) -> list[Failure]:
        """Carry out all operations as one transaction: either each is done, or each is in the result."""
        after = _after(self._state, operations)
        try:
            _transact(self._commands(operations, after))
        except FirewallError as error:
            self._generation = None
            return [Failure(operation, f"nft: {error}", error.retryable) for operation in operations]
        before, now = self._generation, None
        with contextlib.suppress(FirewallError):  # it is done; the next look lists the table again
            now = ruleset_generation()
        # One step on is our own transaction; anything else means that somebody else was at work too.
        self._generation = now if before is not None and now == before % _GENERATION_MAX + 1 else None
        self._state = after
        return []

    def counters(self) -> dict[str, Dropped]:
        """By link, how many packets were dropped since its guard was made. Raises FirewallError."""
        if self._unusable is not None or TABLE_KEY not in self._state:
            return {}
        return read_firewall_counters()

    def _require_nft(self) -> None:
        if not self._tried:
            if shutil.which("nft", path=_PLACES) is None:
                raise FirewallError("isolation and guard are not in force: nft is not installed (package nftables)")
            chain: Json = {
                "family": "inet", "table": TABLE_NAME, "name": "x", "type": "filter", "hook": "forward", "prio": 0,
                "policy": "accept",
            }  # fmt: skip
            try:
                _transact([{"add": {"table": {"family": "inet", "name": TABLE_NAME}}}, {"add": {"chain": chain}}], "-c")
            except FirewallError as error:
                if error.retryable:
                    raise
                self._unusable = f"isolation and guard cannot be put in force: nft refuses an inet table here ({error})"
            self._tried = True
        if self._unusable is not None:
            raise FirewallError(self._unusable)

    def _commands(self, operations: Iterable[Operation], after: State) -> list[Command]:
        base = self._state.get(TABLE_KEY)
        damaged = isinstance(base, FirewallTable) and base.damage
        if damaged or any(operation.key == TABLE_KEY for operation in operations):
            there = _list_table() if base is not None else None
            return commands(there or Table(), table_of(after))
        keys = {operation.key for operation in operations} | (self._state.keys() - after.keys())
        gateways = _touched(self._state, keys) | _touched(after, keys)
        return commands(_part(self._state, keys, gateways), _part(after, keys, gateways))


def _touched(state: State, keys: set[Key]) -> set[str]:
    """The virtual gateways whose chain or sets hold something of these resources."""
    found: set[str] = set()
    for key in keys:
        match state.get(key):
            case GatewaySources(name=name):
                found.add(name)
            case Guard(elements=elements, gateway=gateway):
                found |= {e.set.removeprefix("to-") for e in elements if e.set.startswith("to-")}
                if gateway is not None:
                    found.add(gateway)
    return found


def _part(state: State, keys: set[Key], gateways: set[str]) -> Table:
    base = state[TABLE_KEY]
    assert isinstance(base, FirewallTable)
    guards = [one for key in keys if isinstance(one := state.get(key), Guard)]
    clamps = clamps_of(one for one in state.values() if isinstance(one, Guard))
    return render(sources_of(state, gateways), guards, clamps, vrf=base.vrf)


def _after(before: State, operations: Iterable[Operation]) -> dict[Key, Resource]:
    """The resources once the operations are done; the children of a removed one are gone with it."""
    operations = list(operations)
    state = dict(before)
    gone = {operation.key for operation in operations if operation.action in {"delete", "replace"}}
    for key, resource in before.items() if gone else ():
        above: Resource | None = resource
        while above is not None:
            if above.key in gone:
                state.pop(key, None)
                break
            above = before.get(above.parent) if above.parent is not None else None
    for operation in operations:
        if operation.after is not None:
            state[operation.key] = operation.after
    return state


def read_firewall_counters() -> dict[str, Dropped]:
    """By link, how many packets were dropped since its guard was made. Raises FirewallError."""
    counts: dict[str, dict[str, int]] = {}
    for counter in COUNTERS:
        # nft 1.0.6 finds only the first set of several that one input asks for.
        place: Json = {"family": "inet", "table": TABLE_NAME, "name": counter}
        text = _nft([{"list": {"set": place}}])
        with _listing_understood():
            for name, link, packets, _ in read_counts(json.loads(text)):
                counts.setdefault(link, {})[name] = packets
    return {
        link: Dropped(found.get(SPOOFED, 0), found.get(ISOLATED, 0), found.get(CONTROL_PLANE, 0))
        for link, found in counts.items()
    }


def ruleset_generation() -> int | None:
    """The number of the kernel's ruleset, which every transaction raises; None where there is no nf_tables.

    Raises FirewallError where it cannot be asked for now.
    """
    try:
        with RouteSocket(NETLINK_NETFILTER) as sock:
            return sock.get(request(nft_gen_msg, _SUBSYSTEM | NFT_MSG_GETGEN, 0, {}), _generation_number)
    except KernelError as error:
        if error.retryable:
            raise FirewallError(f"nftables' ruleset cannot be looked at: {error}", retryable=True) from error
        return None
    except OSError as error:
        if error.errno in _PERMANENT:
            return None
        raise FirewallError(
            f"nftables' ruleset cannot be looked at: {error.strerror or error}", retryable=True
        ) from error


def _generation_number(data: memoryview, start: int, end: int) -> int:
    return int(_GENERATION.read(data, start, end)["NFTA_GEN_ID"])


class FirewallEvents(EventReceiver):
    """A non-blocking socket that hears of changes to our table in this network namespace."""

    def __init__(self) -> None:
        super().__init__(NETLINK_NETFILTER, 1 << (NFNLGRP_NFTABLES - 1))

    @classmethod
    def where_heard(cls) -> FirewallEvents | None:
        """One, or None where the kernel has no nfnetlink (or no room): then full resyncs alone see what has changed."""
        try:
            return cls()
        except OSError as error:
            log.warning("changes of nftables' rules are not detected at once: %s", error.strerror or error)
            return None

    def changed(self) -> bool:
        """Whether something happened to our table (by our own hand too), or may have: events were lost."""
        ours = False
        try:
            for datagram in self.datagrams():
                for message_type, start, end in messages_in(datagram):
                    if message_type & _SUBSYSTEM_MASK == _SUBSYSTEM and message_type != _SUBSYSTEM | NFT_MSG_NEWGEN:
                        said = _TABLE.read(memoryview(datagram), start, end)
                        ours |= said.get("NFTA_TABLE_NAME") == TABLE_NAME
        except EventsLostError:
            return True
        return ours


def _list_table() -> Table | None:
    try:
        text = _nft([{"list": {"table": {"family": "inet", "name": TABLE_NAME}}}])
    except FirewallError as error:
        if os.strerror(errno.ENOENT) in str(error):
            return None
        raise
    with _listing_understood():
        table = read_table(json.loads(text))
    if not is_ours(table):
        raise FirewallError(
            f"isolation and guard are not in force: there is a table inet {TABLE_NAME} that dcedge did not make; "
            f"remove it (nft delete table inet {TABLE_NAME})"
        )
    return table


@contextlib.contextmanager
def _listing_understood() -> Iterator[None]:
    """Raises FirewallError where what nft printed is not what it prints."""
    try:
        yield
    except (ValueError, LookupError, TypeError, AssertionError) as error:
        raise FirewallError(f"what nft lists cannot be read ({error!r})", retryable=True) from error


def _transact(todo: Sequence[Command], *options: str) -> None:
    if todo:
        _nft(todo, *options)


def _nft(todo: Sequence[Command], *options: str) -> str:
    nft = shutil.which("nft", path=_PLACES)
    if nft is None:
        raise FirewallError("nft is not installed (package nftables)")
    try:
        done = subprocess.run(
            [nft, "-j", *options, "-f", "-"],
            input=json.dumps({"nftables": todo}),
            capture_output=True,
            encoding="utf-8",
            errors="backslashreplace",
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise FirewallError("nft did not end in time", retryable=True) from error
    except OSError as error:
        raise FirewallError(f"nft cannot be started: {error.strerror or error}", retryable=True) from error
    if done.returncode:
        lines = [line.partition("Error: ")[2] for line in done.stderr.splitlines() if "Error: " in line]
        reason = lines[0] if lines else done.stderr.strip()[:200] or f"status {done.returncode}"
        permanent = any(os.strerror(number) in reason for number in _PERMANENT)
        raise FirewallError(reason, retryable=not permanent)
    return done.stdout
