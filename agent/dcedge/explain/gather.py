"""Gathers the evidence: first what the kernel, FRR and the daemon know, then, where that leaves a question, looks.

Nothing here judges, and nothing here changes anything. Every look is bounded; all of them take some seconds.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from dcedge.api.control.client import ControlClient
from dcedge.errors import CaptureError, DcedgeError, FrrError, NotRunningError, StateError
from dcedge.explain.active_checks import ProbePath, check_path
from dcedge.explain.evidence import Capture, Circuit, DaemonSays, Evidence, PathCheck, PortEvidence, TcpCheck
from dcedge.explain.listening import listen
from dcedge.firewall.foreign import foreign_firewall
from dcedge.frr.state import SessionState, more_telling
from dcedge.frr.vty import FrrClient
from dcedge.kernel.counters import LinkCounters, read_counters
from dcedge.kernel.link.view import dump_links
from dcedge.kernel.naming import interface_link
from dcedge.kernel.port.ethtool import LinkMode
from dcedge.kernel.port.hardware import HardwareReader, ports_of
from dcedge.kernel.port.names import port_names
from dcedge.kernel.port.optics import Optics
from dcedge.monitor.collect_facts import Place, link_facts, port_facts, session_facts, session_place
from dcedge.monitor.forwarding_reader import astray, route_facts
from dcedge.monitor.forwarding_targets import contested, named
from dcedge.monitor.health.facts import Facts, OwnLoss, ProbeFacts, RouteFacts, SessionFacts
from dcedge.monitor.health.rules.link import NOTHING_HEARD
from dcedge.monitor.health.verdict import Layer, Side
from dcedge.netlink.socket import RouteSocket
from dcedge.order.credentials import Secret, read_credentials
from dcedge.order.load import digest_of_file, load_order, parse_order
from dcedge.order.model import Order
from dcedge.order.resolve import ResolvedInterface, resolve_interface
from dcedge.reconcile.desired import NOTHING
from dcedge.reconcile.state.store import Store
from dcedge.settings import Settings

_FORWARDING = {4: "net.ipv4.ip_forward", 6: "net.ipv6.conf.all.forwarding"}


@dataclass(slots=True)
class _Checks:
    """What was tried out."""

    paths: tuple[PathCheck, ...] = ()
    tcp: Mapping[str, TcpCheck] = field(default_factory=dict)
    capture: Capture | None = None
    answered: frozenset[str] = frozenset()
    hardware: Mapping[str, str] = field(default_factory=dict)


def gather(settings: Settings, name: str) -> Evidence:
    """The evidence on one virtual interface. Raises DcedgeError, also where the order has none of that name."""
    unseen: list[str] = []
    order = _order(settings, unseen)
    if name not in order.virtual_interfaces:
        known = ", ".join(sorted(order.virtual_interfaces)[:20])
        raise DcedgeError(f"the order has no virtual interface {name!r}; it has: {known}")
    daemon, failing, drained = _daemon(settings, name, unseen)
    with closing(RouteSocket()) as sock, closing(FrrClient(settings.frr_pathspace)) as frr:
        own = port_names(sock, ports_of(order))
        interface = resolve_interface(order, name, own)
        before, started = read_counters(sock).links, time.monotonic()
        with closing(HardwareReader()) as reader:
            ports = (interface.port, *(interface.bond.members if interface.bond is not None else ()))
            hardware = reader.read(port for port in ports if port in before)
        facts = Facts(
            admin=interface.admin,
            port=port_facts(interface, before, hardware),
            link=link_facts(interface, before, None),
            static=not interface.sessions,
            drained=drained,
            failing=failing,
            router_late=daemon.router_late if daemon is not None else 0.0,
            own_losses=daemon.own_losses if daemon is not None else (),
            ordered_bps=interface.rate_bps,
        )
        sessions, detail = _sessions(frr)
        resets = daemon.resets if daemon is not None else {}
        frr_asked = sessions is not None or os.geteuid() == 0
        if not frr_asked:
            unseen.append(f"FRR could not be queried: {detail}")
        facts = replace(
            facts,
            frr_available=sessions is not None or not frr_asked,
            frr_detail=detail,
            frr_version=frr.version,
            sessions=tuple(sessions_with_reasons(interface, sessions or {}, resets)),
        )
        checks = _Checks()
        reachable = facts.port.present and facts.port.admin_up and facts.port.carrier and facts.link.present
        if reachable and facts.link.admin_up and interface.admin != "down":
            checks = _run_checks(settings, order, interface, facts, own, unseen)
            again, _ = _sessions(frr)
            facts = replace(facts, sessions=tuple(sessions_with_reasons(interface, again or sessions or {}, resets)))
            facts = _with_what_was_heard(_with_checks(facts, interface, checks), checks)
            after = read_counters(sock).links
            silent = _silent(before, after, interface, time.monotonic() - started)
            facts = replace(facts, link=replace(facts.link, silent=silent))
        facts = replace(
            facts,
            routes=tuple(_routes(sock, frr, order, facts, interface.virtual_gateway, own)),
            astray=_astray(sock, interface, sessions or {}),
        )
    return Evidence(
        at=time.time(),
        circuit=_circuit(order, interface),
        interface=interface,
        facts=facts,
        port=_port_evidence(before.get(interface.port), hardware.modes.get(interface.port), hardware.optics),
        paths=checks.paths,
        tcp=checks.tcp,
        capture=checks.capture,
        foreign_firewall=foreign_firewall(),
        not_forwarding=tuple(_not_forwarding(interface)),
        daemon=daemon,
        frr_asked=frr_asked,
        unseen=tuple(unseen),
    )


def _astray(
    sock: RouteSocket, interface: ResolvedInterface, sessions: Mapping[Place, SessionState]
) -> dict[str, str | None]:
    indices = {link.name: link.index for link in dump_links(sock)} if interface.vrf is not None else {}
    return {peer: link for (_, peer), link in astray(sock, [interface], sessions, indices).items()}


def _order(settings: Settings, unseen: list[str]) -> Order:
    """The order in force, as the daemon tells it; else the last one that was, as far as that may be read."""
    try:
        text: str | None = ControlClient(settings.socket, timeout=10.0).order()
    except DcedgeError:
        text = _last_in_force(settings)
    if text is None:
        return load_order(settings.order).order
    loaded = parse_order(text, "the order in force")
    if digest_of_file(settings.order) != loaded.digest:
        unseen.append(f"{settings.order} differs from the order in force; the order in force is explained")
    return loaded.order


def _last_in_force(settings: Settings) -> str | None:
    store = Store(settings.state_dir)
    try:
        pending = store.pending_order.get()
        return pending.order if pending is not None else store.orders.last_good()
    except StateError:
        return None


def _daemon(settings: Settings, name: str, unseen: list[str]) -> tuple[DaemonSays | None, tuple[str, ...], bool]:
    """What the daemon says, the operations that fail on the virtual interface, and whether it is drained."""
    client = ControlClient(settings.socket, timeout=10.0)
    try:
        status = client.status()
        transitions = len(client.history(name))
    except NotRunningError:
        unseen.append("the daemon is not running: no history, no loss over time")
        drained = name in Store(settings.state_dir).runtime().drained if os.geteuid() == 0 else False
        return None, (), drained
    except DcedgeError as error:
        unseen.append(f"the daemon could not be queried: {error}")
        return None, (), False
    for vi in status["virtual_interfaces"]:
        if vi["name"] == name:
            says = DaemonSays(
                verdict=vi["verdict"],
                reason=vi["reason"],
                layer=cast("Layer", vi["layer"]),
                side=cast("Side", vi["side"]),
                since=vi["since"],
                lost=sum(probe["window_lost"] for probe in vi["probes"]),
                probes=sum(probe["window_probes"] for probe in vi["probes"]),
                router_late=max((probe["router_late_seconds"] for probe in vi["probes"]), default=0.0),
                own_losses=tuple(OwnLoss(**loss) for loss in vi["own_losses"]),
                transitions=transitions,
                resets={session["peer"]: (session["transitions"], session["last_reset"]) for session in vi["bgp"]},
            )
            return says, tuple(vi["failing"]), vi["verdict"] == "drained"
    unseen.append("the daemon's order in force does not have this virtual interface")
    return None, (), False


def _sessions(frr: FrrClient) -> tuple[dict[Place, SessionState] | None, str]:
    try:
        frr.ask("bgpd", "show version")  # which the client remembers
        return {(state.vrf, str(state.peer)): state for state in frr.sessions()}, ""
    except FrrError as error:
        return None, str(error)


def sessions_with_reasons(
    interface: ResolvedInterface, sessions: Mapping[Place, SessionState], resets: Mapping[str, tuple[int, str | None]]
) -> Iterator[SessionFacts]:
    """The sessions as FRR tells them now, with what the daemon still knows of their last loss (`resets`)."""
    for session in interface.sessions:
        state = sessions.get(session_place(session, interface.vrf))
        if state is not None:
            lost, reason = resets.get(str(state.peer), (None, None))
            if lost == state.transitions:
                state = replace(state, last_reset=more_telling(state.last_reset, reason))
            yield session_facts(interface, session, state, state.uptime, None)


def _run_checks(
    settings: Settings,
    order: Order,
    interface: ResolvedInterface,
    facts: Facts,
    own: Mapping[str, str],
    unseen: list[str],
) -> _Checks:
    checks = _Checks()
    link = interface_link(interface)
    ways = [ProbePath(pair.family, link, pair.customer.ip, pair.cloud) for pair in interface.addresses]
    try:
        checks.paths = tuple(check_path(way, interface.mtu) for way in ways)
    except PermissionError:
        unseen.append("ping, path MTU, ARP and TCP were not tested: this needs root")
        return checks
    except OSError as error:
        unseen.append(f"ping was not tested: {error.strerror or error}")
    reached = all(path.received for path in checks.paths)
    established = bool(facts.sessions) and all(session.established for session in facts.sessions)
    if reached and (established or not interface.sessions):
        return checks
    try:
        _listen(settings, order, interface, facts, own, checks)
    except OSError as error:
        unseen.append(f"no capture on the port: {error.strerror or error}")
    except CaptureError as error:
        unseen.append(f"no capture on the port: {error}")
    return checks


def _listen(
    settings: Settings,
    order: Order,
    interface: ResolvedInterface,
    facts: Facts,
    own: Mapping[str, str],
    checks: _Checks,
) -> None:
    lacking = {session.peer for session in facts.sessions if not session.established}
    others = (resolve_interface(order, name, own) for name in order.virtual_interfaces)
    tags = frozenset(tuple(tag.vlan_id for tag in other.tags) for other in others if other.port == interface.port)
    heard = listen(interface, tags, lacking, _secrets(settings, interface), checks.paths)
    checks.paths, checks.tcp, checks.capture = heard.paths, heard.tcp, heard.capture
    checks.answered, checks.hardware = heard.answered, heard.hardware


def _secrets(settings: Settings, interface: ResolvedInterface) -> dict[str, Secret]:
    """The ordered passwords that can be read here, by peer."""
    wanted = {str(s.cloud): s.password for s in interface.sessions if s.password is not None}
    found, _ = read_credentials(wanted.values(), settings.credentials)
    return {peer: found[credential] for peer, credential in wanted.items() if credential in found}


def neighbour_answers(path: PathCheck, heard: Collection[str] | None, sessions: Iterable[SessionFacts]) -> bool | None:
    """Whether ARP or ND is answered; None where pings or BFD show that packets come back, or nobody listened.

    `heard` are the addresses that answered in the seconds of listening: on a router that is short of processors an
    answer may come too late for that.
    """
    by_bfd = any(one.peer == path.destination and one.established and one.bfd == "up" for one in sessions)
    return None if heard is None or path.received or by_bfd else path.destination in heard


def _with_checks(facts: Facts, interface: ResolvedInterface, checks: _Checks) -> Facts:
    """The facts with what was tried folded in, as the daemon's probes would have found it in time."""
    probes, paths = [], []
    for pair, path in zip(interface.addresses, checks.paths, strict=False):
        heard = checks.answered if checks.capture is not None else None
        answered = neighbour_answers(path, heard, facts.sessions)
        hardware = checks.hardware.get(path.destination) if answered is not False else None
        paths.append(replace(path, neighbour=answered, hardware_address=hardware))
        probes.append(
            ProbeFacts(
                destination=path.destination,
                family=pair.family,
                probes=path.sent,
                lost=path.sent - path.received,
                error=path.refused,
                neighbour=answered,
                lost_in_a_row=0 if path.received else path.sent,
                full_size=None if path.path_mtu is None else path.path_mtu >= interface.mtu,
                mtu=interface.mtu,
            )
        )
    checks.paths = tuple(paths)
    return replace(facts, probes=tuple(probes))


def _with_what_was_heard(facts: Facts, checks: _Checks) -> Facts:
    """The sessions with what was heard of their digests and NOTIFICATIONs."""
    heard = checks.capture.notifications if checks.capture is not None else {}
    return replace(
        facts,
        sessions=tuple(
            replace(
                session,
                digest=checks.tcp[session.peer].digest,
                last_reset=heard_reset(session.last_reset, heard.get(session.peer)),
            )
            if session.peer in checks.tcp
            else session
            for session in facts.sessions
        ),
    )


def heard_reset(known: str | None, notification: str | None) -> str | None:
    """The NOTIFICATION that was heard, in FRR's words; FRR's own where it is the same, as that has the peer's text."""
    heard = f"BGP Notification received: {notification}"
    return known if notification is None or (known or "").startswith(heard) else heard


def _silent(
    before: Mapping[str, LinkCounters], after: Mapping[str, LinkCounters], interface: ResolvedInterface, seconds: float
) -> float | None:
    link = interface_link(interface)
    if link not in before or link not in after:
        return None
    same = before[link].receive_packets == after[link].receive_packets
    # Nothing came although it was asked for by ARP: that is silence, however short the check was.
    return max(seconds, NOTHING_HEARD) if same else 0.0


def _circuit(order: Order, interface: ResolvedInterface) -> Circuit:
    connection = order.connections[interface.connection]
    return Circuit(
        interface.connection,
        interface.profile.title,
        connection.circuit_id or "",
        connection.description or "",
    )


def _port_evidence(counters: LinkCounters | None, mode: LinkMode | None, optics: Mapping[str, Optics]) -> PortEvidence:
    if counters is None:
        return PortEvidence(mode=mode, optics=tuple(optics.items()))
    return PortEvidence(
        counters.carrier_changes,
        counters.receive_errors,
        counters.transmit_errors,
        counters.receive_dropped,
        counters.transmit_dropped,
        mode,
        tuple(optics.items()),
    )


def _not_forwarding(interface: ResolvedInterface) -> Iterator[str]:
    for version in sorted({pair.cloud.version for pair in interface.addresses}):
        name = _FORWARDING[version]
        with suppress(OSError):
            if Path("/proc/sys", *name.split(".")).read_text().strip() == "0":
                yield name


def _routes(
    sock: RouteSocket, frr: FrrClient, order: Order, facts: Facts, gateway: str, own: Mapping[str, str]
) -> Iterator[RouteFacts]:
    """Where this router sends what is for the gateway's prefixes."""
    if facts.drained or not (facts.static or any(session.received for session in facts.sessions)):
        return
    others = {name: resolve_interface(order, name, own) for name in order.virtual_interfaces}
    intent = replace(NOTHING, order=order, interfaces=others)
    indices = {link.name: link.index for link in dump_links(sock)}
    for target in (*named(intent, gateway), *contested(sock, intent, indices, gateway)):
        with suppress(FrrError):
            if (found := route_facts(sock, frr.ask, target, indices)) is not None:
                yield found
