"""Where packets for what the clouds announce go: asked of bgpd, zebra and the kernel, a few prefixes at a time.

Asked for are prefixes that a gateway's `accept` names, and those within it to which others have a route that goes
before BGP's. Only those that a cloud does announce are judged: what is not announced may lead wherever it likes. A look
costs each daemon a millisecond a prefix, however full its tables are.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from dcedge.errors import FrrError, FrrUnavailableError, KernelError
from dcedge.frr.route_state import (
    BgpPath,
    ZebraRoute,
    bgp_question,
    parse_paths,
    parse_route_errors,
    parse_routes,
    zebra_question,
)
from dcedge.frr.state import SessionState
from dcedge.kernel.link.view import link_at
from dcedge.kernel.naming import interface_link
from dcedge.kernel.route.view import preferred_to_bgp
from dcedge.kernel.route.way_out import outgoing_link
from dcedge.monitor.collect_facts import Place, session_place
from dcedge.monitor.health.facts import RouteFacts
from dcedge.netlink.descriptions import RT_TABLE_MAIN
from dcedge.netlink.socket import RouteSocket
from dcedge.order.field_types import Family, Prefix
from dcedge.order.resolve import ResolvedInterface
from dcedge.reconcile.desired import NOTHING, Intent

log = logging.getLogger(__name__)
Ask = Callable[[str, str], str]  # a daemon, a command

_PREFIXES_MIN, _PREFIXES_MAX = 4, 512  # of each gateway at least; of all of them, where that is more
_ASTRAY_MAX = 32  # sessions that are down, a poll
_ROUND_SECONDS = 3.0  # every prefix is looked at this often at most
_LOOK_SECONDS_MAX = 0.02
_SHARE = 0.02  # of the time, at most, goes into this


@dataclass(frozen=True, slots=True)
class GatewayPrefix:
    """One prefix of a gateway: its peers, and the links that lead there."""

    gateway: str
    vrf: str | None
    prefix: Prefix
    peers: frozenset[str]
    links: tuple[str, ...]

    @property
    def static(self) -> bool:
        """Whether it is routed without BGP."""
        return not self.peers


class ForwardingReader:
    """Looks at the prefixes in turn, and remembers what was seen."""

    def __init__(self, sock: RouteSocket, ask: Ask, clock: Callable[[], float] = time.monotonic) -> None:
        self._sock = sock
        self._ask = ask
        self._clock = clock
        self._intent: Intent = NOTHING
        self._named: tuple[GatewayPrefix, ...] = ()
        self._contested: tuple[GatewayPrefix, ...] = ()
        self._targets: tuple[GatewayPrefix, ...] = ()
        self._next = 0
        self._round = 0.0  # when the one under way began
        self._rests_until = 0.0
        self._seen: dict[tuple[str, Prefix], RouteFacts] = {}

    def observe(self, intent: Intent, indices: Mapping[str, int]) -> dict[str, tuple[RouteFacts, ...]]:
        """What is known of each gateway's prefixes, after another look at some of them.

        Raises:
            FrrUnavailableError: A daemon does not answer.
        """
        if intent.interfaces is not self._intent.interfaces or intent.runtime != self._intent.runtime:
            self._named = tuple(targets(intent))
            self._set_targets(self._contested)
        self._intent = intent
        started = now = self._clock()
        if self._next == 0 and now - self._round >= _ROUND_SECONDS:
            self._round = now
            try:
                self._set_targets(tuple(contested(self._sock, intent, indices)))
            except KernelError as error:  # those of the round before are looked at once more
                log.debug("others' routes: %s", error)
        elif self._next == 0:
            return self._by_gateway()
        if now >= self._rests_until:
            while self._next < len(self._targets) and now - started < _LOOK_SECONDS_MAX:
                self._take(self._targets[self._next], indices)
                self._next, now = self._next + 1, self._clock()
            self._rests_until = now + (now - started) / _SHARE
            self._next %= max(len(self._targets), 1)
        return self._by_gateway()

    def _set_targets(self, others: tuple[GatewayPrefix, ...]) -> None:
        """What is looked at from now on: what is named, and what others have routes to."""
        self._contested = others
        self._targets = (*self._named, *others)
        self._next %= max(len(self._targets), 1)  # a pass is no reason to begin anew
        wanted = {(target.gateway, target.prefix) for target in self._targets}
        self._seen = {key: facts for key, facts in self._seen.items() if key in wanted}

    def _take(self, target: GatewayPrefix, indices: Mapping[str, int]) -> None:
        try:
            facts = route_facts(self._sock, self._ask, target, indices)
        except FrrUnavailableError:
            raise
        except FrrError as error:
            log.debug("%s: %s", target.prefix, error)
            facts = None
        if facts is None:
            self._seen.pop((target.gateway, target.prefix), None)
        else:
            self._seen[target.gateway, target.prefix] = facts

    def _by_gateway(self) -> dict[str, tuple[RouteFacts, ...]]:
        found: dict[str, tuple[RouteFacts, ...]] = {}
        for (gateway, _), facts in self._seen.items():
            found[gateway] = (*found.get(gateway, ()), facts)
        return found


def astray(
    sock: RouteSocket,
    interfaces: Iterable[ResolvedInterface],
    sessions: Mapping[Place, SessionState],
    indices: Mapping[str, int],
) -> dict[Place, str | None]:
    """The peers of sessions that are down to which packets leave by another link than their own, with that link.

    None where there is no route. Only the first few sessions that are down are checked.
    """
    down = (
        (interface, session)
        for interface in interfaces
        for session in interface.sessions
        if (state := sessions.get(session_place(session, interface.vrf))) is not None and not state.up
    )
    found: dict[Place, str | None] = {}
    for interface, session in islice(down, _ASTRAY_MAX):
        link = outgoing_link(sock, session.cloud, indices.get(interface.vrf, 0) if interface.vrf is not None else 0)
        if link != interface_link(interface):
            found[session_place(session, interface.vrf)] = link
    return found


def targets(intent: Intent, only: str | None = None) -> Iterator[GatewayPrefix]:
    """What is named: the first prefixes of each gateway's `accept`, or of its static routes; `only`: of one."""
    members = _members(intent, only)
    for gateway, interfaces in members.items():
        peers, links = _peers(interfaces), _links(interfaces)
        moved = {one.name for one in interfaces} & (intent.runtime.withdrawn | intent.runtime.drained)
        prefixes = [accepted.prefix for accepted in interfaces[0].accept or ()] if peers else []
        if not peers and not moved:  # what is withdrawn or drained leads elsewhere, as it should
            prefixes = [p for p in dict.fromkeys(prefix for one in interfaces for prefix in one.static) if p.prefixlen]
        for prefix in prefixes[: _share(members)]:
            yield GatewayPrefix(gateway, interfaces[0].vrf, prefix, peers, links)


def contested(
    sock: RouteSocket, intent: Intent, indices: Mapping[str, int], only: str | None = None
) -> Iterator[GatewayPrefix]:
    """What a cloud may announce by `any` or a length (`le`), and others have a route to that goes before BGP's.

    Not what is advertised to it, nor a default route by `any`: others may well have those.

    Raises:
        KernelError: The kernel does not tell.
    """
    members = {gateway: found for gateway, found in _members(intent, only).items() if _open_ended(found[0])}
    if not members:
        return
    ours = {indices.get(interface_link(interface)) for interface in intent.interfaces.values()}
    by_table: dict[int, list[Prefix]] = {}
    for route in preferred_to_bgp(sock):
        if route.link not in ours:
            by_table.setdefault(route.table, []).append(route.prefix)
    for gateway, interfaces in members.items():
        one = interfaces[0]
        prefixes = dict.fromkeys(by_table.get(_table(sock, one.vrf, indices), ()))
        named = {accepted.prefix for accepted in one.accept or ()}
        within = (p for p in prefixes if p not in named and _may_come(one, p))
        for prefix in islice(within, _share(members)):
            yield GatewayPrefix(gateway, one.vrf, prefix, _peers(interfaces), _links(interfaces))


def _members(intent: Intent, only: str | None) -> dict[str, list[ResolvedInterface]]:
    """The virtual interfaces by gateway."""
    members: dict[str, list[ResolvedInterface]] = {}
    for interface in intent.interfaces.values():
        if only in (None, interface.virtual_gateway):
            members.setdefault(interface.virtual_gateway, []).append(interface)
    return members


def _peers(interfaces: Iterable[ResolvedInterface]) -> frozenset[str]:
    return frozenset(str(session.cloud) for one in interfaces for session in one.sessions)


def _links(interfaces: Iterable[ResolvedInterface]) -> tuple[str, ...]:
    return tuple(sorted(map(interface_link, interfaces)))


def _share(members: Collection[str]) -> int:
    """How many prefixes of each gateway are looked at."""
    return max(_PREFIXES_MIN, _PREFIXES_MAX // max(len(members), 1))


def _open_ended(interface: ResolvedInterface) -> bool:
    """Whether a cloud may announce more than the prefixes that are named."""
    return interface.accept is None or any(accepted.le is not None for accepted in interface.accept)


def _may_come(interface: ResolvedInterface, prefix: Prefix) -> bool:
    if any(_within(prefix, ours) for ours in interface.advertise):
        return False
    if interface.accept is None:
        return bool(prefix.prefixlen)
    return any(
        _within(prefix, accepted.prefix) and prefix.prefixlen <= (accepted.le or accepted.prefix.prefixlen)
        for accepted in interface.accept
    )


def _within(inner: Prefix, outer: Prefix) -> bool:
    return inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]


def _table(sock: RouteSocket, vrf: str | None, indices: Mapping[str, int]) -> int:
    """The VRF's table, or the main one; 0 where the VRF is not there."""
    if vrf is None:
        return RT_TABLE_MAIN
    device = link_at(sock, indices[vrf]) if vrf in indices else None
    return device.table if device is not None else 0


def route_facts(sock: RouteSocket, ask: Ask, target: GatewayPrefix, indices: Mapping[str, int]) -> RouteFacts | None:
    """Where one prefix leads; None where no cloud announces it, or it cannot be told.

    Raises:
        FrrError: A daemon does not answer, or in no way that is known.
    """
    prefix, expected = target.prefix, target.links
    unresolved: tuple[tuple[str, str], ...] = ()
    instead, rejected, errors = "", False, 0
    chosen: ZebraRoute | None = None
    if not target.static:
        paths = _announced(ask, target)
        if not paths:
            return None
        unresolved = tuple((path.peer, path.unresolved) for path in paths if path.unresolved is not None)
        known = _known_to_zebra(ask, target)
        chosen = next((route for route in known if route.selected), None)
        rejected = any(route.failed for route in known if route.protocol == "bgp")
        instead, expected = _preferred(chosen, expected)
        errors = _errors(ask) if rejected else 0
    vrf = indices.get(target.vrf, 0) if target.vrf is not None else 0
    if target.vrf is not None and not vrf:
        return None
    if prefix.prefixlen:
        link = outgoing_link(sock, prefix[1] if prefix.num_addresses > 1 else prefix[0], vrf)
    else:  # no address stands for a default route: any may have a route of its own
        link = next(iter(chosen.links), None) if chosen is not None else None
    family: Family = "ipv4" if prefix.version == 4 else "ipv6"
    return RouteFacts(str(prefix), family, link, expected, instead, unresolved, rejected, errors)


def _announced(ask: Ask, target: GatewayPrefix) -> list[BgpPath]:
    question = bgp_question(target.prefix, target.vrf)
    return [path for path in parse_paths(_answer(ask, "bgpd", question)) if path.peer in target.peers]


def _known_to_zebra(ask: Ask, target: GatewayPrefix) -> tuple[ZebraRoute, ...]:
    question = zebra_question(target.prefix, target.vrf)
    return parse_routes(_answer(ask, "zebra", question), target.prefix)


def _answer(ask: Ask, daemon: str, question: str) -> str:
    """What a daemon knows of a prefix; it refuses the question where it knows nothing."""
    try:
        return ask(daemon, question)
    except FrrUnavailableError:
        raise
    except FrrError:
        return "{}"


def _preferred(chosen: ZebraRoute | None, links: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """The kind of route that zebra prefers to the cloud's, if it does, and where the prefix may lead."""
    if chosen is None:
        return "", links
    if chosen.protocol != "bgp":
        return chosen.protocol, links
    return "", tuple(sorted({*links, *chosen.links}))  # another gateway may announce it too


def _errors(ask: Ask) -> int:
    with suppress(FrrError):
        return parse_route_errors(ask("zebra", "show zebra dplane"))
    return 0
