"""Where packets for what the clouds announce go: asked of bgpd, zebra and the kernel, a few prefixes at a time.

Asked for are prefixes that a gateway's `accept` names, and those within it to which others have a route that goes
before BGP's. Only those that a cloud does announce are judged: what is not announced may lead wherever it likes. A look
costs each daemon a millisecond a prefix, however full its tables are.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
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
from dcedge.kernel.naming import interface_link
from dcedge.kernel.route.way_out import matched_length, outgoing_link
from dcedge.monitor.collect_facts import Place, session_place
from dcedge.monitor.forwarding_targets import GatewayPrefix, contested, named
from dcedge.monitor.health.facts import RouteFacts
from dcedge.netlink.socket import RouteSocket
from dcedge.order.field_types import Family, Prefix
from dcedge.order.resolve import ResolvedInterface
from dcedge.reconcile.desired import NOTHING, Intent

log = logging.getLogger(__name__)
Ask = Callable[[str, str], str]  # a daemon, a command

_ASTRAY_MAX = 32  # sessions that are down, a poll
_ROUND_SECONDS = 3.0  # every prefix is looked at this often at most
_LOOK_SECONDS_MAX = 0.02
_SHARE = 0.02  # of the time, at most, goes into this


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
            self._named = tuple(named(intent))
            self._set_targets(self._contested)
        self._intent = intent
        started = now = self._clock()
        if now < self._rests_until:
            return self._by_gateway()
        if self._next == 0:
            if now - self._round < _ROUND_SECONDS:
                return self._by_gateway()
            self._round = now
            try:
                self._set_targets(tuple(contested(self._sock, intent, indices)))
            except KernelError as error:  # those of the round before are looked at once more
                log.debug("others' routes: %s", error)
            now = self._clock()
        enough = now + _LOOK_SECONDS_MAX
        while self._next < len(self._targets) and now < enough:
            self._take(self._targets[self._next], indices)
            self._next, now = self._next + 1, self._clock()
        self._rests_until = now + (now - started) / _SHARE
        self._next %= max(len(self._targets), 1)
        return self._by_gateway()

    def _set_targets(self, others: tuple[GatewayPrefix, ...]) -> None:
        """What is looked at from now on: what others have routes to, and what is named."""
        self._contested = others
        self._targets = (*others, *self._named)
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
    link = _link(sock, prefix, vrf, chosen, expected)
    family: Family = "ipv4" if prefix.version == 4 else "ipv6"
    return RouteFacts(str(prefix), family, link, expected, instead, unresolved, rejected, errors)


def _link(
    sock: RouteSocket, prefix: Prefix, vrf: int, chosen: ZebraRoute | None, expected: tuple[str, ...]
) -> str | None:
    """The link by which packets to a prefix leave: asked for its first address, unless that has a route of its own."""
    address = prefix[1] if prefix.num_addresses > 1 else prefix[0]
    as_chosen = next(iter(chosen.links), None) if chosen is not None else None
    if not prefix.prefixlen:
        return as_chosen
    link = outgoing_link(sock, address, vrf)
    if link in expected or (matched_length(sock, address, vrf) or 0) <= prefix.prefixlen:
        return link
    return as_chosen if chosen is not None else expected[0]


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
