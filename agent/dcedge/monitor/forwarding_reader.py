"""Where packets for what the clouds announce go: asked of bgpd, zebra and the kernel, a few prefixes at a time.

Only prefixes that a gateway's `accept` names are asked for, and only those that a cloud does announce are judged: what
is not announced may lead wherever it likes. A look costs each daemon a millisecond a prefix, however full its tables
are.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from dcedge.errors import FrrError, FrrUnavailableError
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
from dcedge.kernel.naming import interface_link
from dcedge.kernel.route.way_out import outgoing_link
from dcedge.monitor.collect_facts import Place, session_place
from dcedge.monitor.health.facts import RouteFacts
from dcedge.netlink.socket import RouteSocket
from dcedge.order.field_types import Family, Prefix
from dcedge.order.resolve import ResolvedInterface
from dcedge.reconcile.desired import NOTHING, Intent

log = logging.getLogger(__name__)
Ask = Callable[[str, str], str]  # a daemon, a command

PREFIXES_MAX = 4  # of a gateway
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
            self._targets = tuple(targets(intent))
            self._next %= max(len(self._targets), 1)  # a pass is no reason to begin anew
            wanted = {(target.gateway, target.prefix) for target in self._targets}
            self._seen = {key: facts for key, facts in self._seen.items() if key in wanted}
        self._intent = intent
        started = now = self._clock()
        if self._next == 0 and now - self._round >= _ROUND_SECONDS:
            self._round = now
        elif self._next == 0:
            return self._by_gateway()
        if now >= self._rests_until:
            while self._next < len(self._targets) and now - started < _LOOK_SECONDS_MAX:
                self._take(self._targets[self._next], indices)
                self._next, now = self._next + 1, self._clock()
            self._rests_until = now + (now - started) / _SHARE
            self._next %= max(len(self._targets), 1)
        return self._by_gateway()

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
    """What is looked at: the first prefixes of each gateway's `accept`, or of its static routes; `only`: of one."""
    members: dict[str, list[ResolvedInterface]] = {}
    for interface in intent.interfaces.values():
        if only in (None, interface.virtual_gateway):
            members.setdefault(interface.virtual_gateway, []).append(interface)
    for gateway, interfaces in members.items():
        peers = frozenset(str(session.cloud) for one in interfaces for session in one.sessions)
        links = tuple(sorted(map(interface_link, interfaces)))
        moved = {one.name for one in interfaces} & (intent.runtime.withdrawn | intent.runtime.drained)
        prefixes = [accepted.prefix for accepted in interfaces[0].accept or ()] if peers else []
        if not peers and not moved:  # what is withdrawn or drained leads elsewhere, as it should
            prefixes = list(dict.fromkeys(prefix for one in interfaces for prefix in one.static))
        for prefix in [one for one in prefixes if one.prefixlen][:PREFIXES_MAX]:
            yield GatewayPrefix(gateway, interfaces[0].vrf, prefix, peers, links)


def route_facts(sock: RouteSocket, ask: Ask, target: GatewayPrefix, indices: Mapping[str, int]) -> RouteFacts | None:
    """Where one prefix leads; None where no cloud announces it, or it cannot be told.

    Raises:
        FrrError: A daemon does not answer, or in no way that is known.
    """
    prefix, expected = target.prefix, target.links
    unresolved: tuple[tuple[str, str], ...] = ()
    instead, rejected, errors = "", False, 0
    if not target.static:
        paths = _announced(ask, target)
        if not paths:
            return None
        unresolved = tuple((path.peer, path.unresolved) for path in paths if path.unresolved is not None)
        instead, rejected, expected = _judged(_known_to_zebra(ask, target), expected)
        errors = _errors(ask) if rejected else 0
    vrf = indices.get(target.vrf, 0) if target.vrf is not None else 0
    if target.vrf is not None and not vrf:
        return None
    link = outgoing_link(sock, prefix[1] if prefix.num_addresses > 1 else prefix[0], vrf)
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


def _judged(routes: tuple[ZebraRoute, ...], links: tuple[str, ...]) -> tuple[str, bool, tuple[str, ...]]:
    """What zebra prefers to the cloud's route, whether the kernel refused that, and where it may lead."""
    chosen = next((route for route in routes if route.selected), None)
    instead = chosen.protocol if chosen is not None and chosen.protocol != "bgp" else ""
    rejected = any(route.failed for route in routes if route.protocol == "bgp")
    if chosen is not None and not instead:
        links = tuple(sorted({*links, *chosen.links}))  # another gateway may announce it too
    return instead, rejected, links


def _errors(ask: Ask) -> int:
    with suppress(FrrError):
        return parse_route_errors(ask("zebra", "show zebra dplane"))
    return 0
