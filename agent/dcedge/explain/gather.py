"""Gathers the evidence: first what the kernel, FRR and the daemon know, then, where that leaves a question, looks.

Nothing here judges, and nothing here changes anything. Every look is bounded; all of them take some seconds.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from dcedge.bgp.state import SessionState, more_telling
from dcedge.bgp.vty import FrrClient
from dcedge.credentials import Secret, read_credentials
from dcedge.errors import DcedgeError, FrrError, KernelError, NotRunningError, StateError
from dcedge.explain.evidence import (
    Capture,
    Circuit,
    DaemonSays,
    Evidence,
    PathLook,
    PortLook,
    RouteLook,
    TcpLook,
)
from dcedge.explain.looks import Way, look_at_path
from dcedge.expose.control import ControlClient
from dcedge.facts import Place, link_facts, port_facts, session_facts, session_place
from dcedge.firewall.objects import TABLE_NAME
from dcedge.hardware import HardwareReader
from dcedge.health.verdict import NOTHING_HEARD, Facts, Layer, ProbeFacts, SessionFacts, Side
from dcedge.kernel.counters import LinkCounters, read_counters
from dcedge.kernel.ethtool import LinkMode
from dcedge.kernel.naming import interface_link
from dcedge.kernel.netlink import RouteSocket
from dcedge.kernel.optics import Optics
from dcedge.order.load import digest_of_file, load_order, parse_order
from dcedge.order.model import Order
from dcedge.order.resolve import ResolvedInterface, resolve_interface
from dcedge.own_session import outgoing_link
from dcedge.settings import Settings
from dcedge.store import Store

_FORWARDING = {4: "net.ipv4.ip_forward", 6: "net.ipv6.conf.all.forwarding"}


@dataclass(slots=True)
class _Looks:
    """What was tried out."""

    paths: tuple[PathLook, ...] = ()
    tcp: Mapping[str, TcpLook] = field(default_factory=dict)
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
    interface = resolve_interface(order, name)
    daemon, failing, drained = _daemon(settings, name, unseen)
    with closing(RouteSocket()) as sock, closing(FrrClient(settings.frr_pathspace)) as frr:
        before, started = read_counters(sock).links, time.monotonic()
        with closing(HardwareReader()) as reader:
            ports = (interface.port, *(interface.bond.members if interface.bond is not None else ()))
            hardware = reader.read(port for port in ports if port in before)
        facts = Facts(
            admin=interface.admin,
            port=port_facts(interface, before, hardware.optics),
            link=link_facts(interface, before, None),
            static=not interface.sessions,
            drained=drained,
            failing=failing,
            ordered_bps=interface.rate_bps,
        )
        sessions, detail = _sessions(frr)
        resets = daemon.resets if daemon is not None else {}
        frr_asked = sessions is not None or os.geteuid() == 0
        if not frr_asked:
            unseen.append(f"FRR was not asked: {detail}")
        facts = replace(
            facts,
            frr_available=sessions is not None or not frr_asked,
            frr_detail=detail,
            frr_version=frr.version,
            sessions=tuple(sessions_with_reasons(interface, sessions or {}, resets)),
        )
        looks = _Looks()
        reachable = facts.port.present and facts.port.admin_up and facts.port.carrier and facts.link.present
        if reachable and facts.link.admin_up and interface.admin != "down":
            looks = _look(settings, order, interface, facts, unseen)
            again, _ = _sessions(frr)
            facts = replace(facts, sessions=tuple(sessions_with_reasons(interface, again or sessions or {}, resets)))
            facts = _with_what_was_heard(_with_looks(facts, interface, looks), looks)
            after = read_counters(sock).links
            silent = _silent(before, after, interface, time.monotonic() - started)
            facts = replace(facts, link=replace(facts.link, silent=silent))
        routes = tuple(_routes(sock, order, interface, facts))
    return Evidence(
        at=time.time(),
        circuit=_circuit(order, interface),
        interface=interface,
        facts=facts,
        port=_port_look(before.get(interface.port), hardware.modes.get(interface.port), hardware.optics),
        paths=looks.paths,
        tcp=looks.tcp,
        capture=looks.capture,
        foreign_firewall=_foreign_firewall(),
        not_forwarding=tuple(_not_forwarding(interface)),
        routes=routes,
        daemon=daemon,
        frr_asked=frr_asked,
        unseen=tuple(unseen),
    )


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
        unseen.append(f"{settings.order} differs from the order in force, which is what is explained")
    return loaded.order


def _last_in_force(settings: Settings) -> str | None:
    store = Store(settings.state_dir)
    try:
        pending = store.pending()
        return pending.order if pending is not None else store.last_good()
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
        unseen.append(f"the daemon was not asked: {error}")
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
                transitions=transitions,
                resets={session["peer"]: (session["transitions"], session["last_reset"]) for session in vi["bgp"]},
            )
            return says, tuple(vi["failing"]), vi["verdict"] == "drained"
    unseen.append("the daemon has another order in force, without this virtual interface")
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


def _look(settings: Settings, order: Order, interface: ResolvedInterface, facts: Facts, unseen: list[str]) -> _Looks:
    looks = _Looks()
    link = interface_link(interface)
    ways = [Way(pair.family, link, pair.customer.ip, pair.cloud) for pair in interface.addresses]
    try:
        looks.paths = tuple(look_at_path(way, interface.mtu) for way in ways)
    except PermissionError:
        unseen.append("pings, path MTU, ARP and TCP were not tried: that takes root")
        return looks
    except OSError as error:
        unseen.append(f"pings were not tried: {error.strerror or error}")
    reached = all(path.received for path in looks.paths)
    established = bool(facts.sessions) and all(session.established for session in facts.sessions)
    if reached and (established or not interface.sessions):
        return looks
    try:
        _listen(settings, order, interface, facts, looks)
    except OSError as error:
        unseen.append(f"the port was not listened to: {error.strerror or error}")
    return looks


def _listen(settings: Settings, order: Order, interface: ResolvedInterface, facts: Facts, looks: _Looks) -> None:
    from dcedge.explain.listening import listen  # noqa: PLC0415 - brings scapy, whose import takes most of a second

    lacking = {session.peer for session in facts.sessions if not session.established}
    others = (resolve_interface(order, name) for name in order.virtual_interfaces)
    tags = frozenset(tuple(tag.vlan_id for tag in other.tags) for other in others if other.port == interface.port)
    heard = listen(interface, tags, lacking, _secrets(settings, interface), looks.paths)
    looks.paths, looks.tcp, looks.capture = heard.paths, heard.tcp, heard.capture
    looks.answered, looks.hardware = heard.answered, heard.hardware


def _secrets(settings: Settings, interface: ResolvedInterface) -> dict[str, Secret]:
    """The ordered passwords that can be read here, by peer."""
    wanted = {str(s.cloud): s.password for s in interface.sessions if s.password is not None}
    found, _ = read_credentials(wanted.values(), settings.credentials)
    return {peer: found[credential] for peer, credential in wanted.items() if credential in found}


def _with_looks(facts: Facts, interface: ResolvedInterface, looks: _Looks) -> Facts:
    """The facts with what was tried folded in, as the daemon's probes would have found it in time."""
    probes, paths = [], []
    for pair, path in zip(interface.addresses, looks.paths, strict=False):
        answered: bool | None = None
        if looks.capture is not None and not path.received:
            answered = path.destination in looks.answered
        hardware = looks.hardware.get(path.destination) if answered is not False else None
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
    looks.paths = tuple(paths)
    return replace(facts, probes=tuple(probes))


def _with_what_was_heard(facts: Facts, looks: _Looks) -> Facts:
    """The sessions with what was heard of their digests and NOTIFICATIONs."""
    heard = looks.capture.notifications if looks.capture is not None else {}
    return replace(
        facts,
        sessions=tuple(
            replace(
                session,
                digest=looks.tcp[session.peer].digest,
                last_reset=heard_reset(session.last_reset, heard.get(session.peer)),
            )
            if session.peer in looks.tcp
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
    # Nothing came although it was asked for by ARP: that is silence, however short the look was.
    return max(seconds, NOTHING_HEARD) if same else 0.0


def _circuit(order: Order, interface: ResolvedInterface) -> Circuit:
    connection = order.connections[interface.connection]
    return Circuit(
        interface.connection,
        interface.profile.title,
        connection.circuit_id or "",
        connection.description or "",
    )


def _port_look(counters: LinkCounters | None, mode: LinkMode | None, optics: Mapping[str, Optics]) -> PortLook:
    if counters is None:
        return PortLook(mode=mode, optics=tuple(optics.items()))
    return PortLook(
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


def _routes(sock: RouteSocket, order: Order, interface: ResolvedInterface, facts: Facts) -> Iterator[RouteLook]:
    """Where this router sends what is for the gateway's prefixes; in the main table only."""
    if interface.vrf is not None or facts.drained or not any(session.received for session in facts.sessions):
        return
    others = [resolve_interface(order, name) for name in order.virtual_interfaces]
    expected = tuple(
        sorted({interface_link(other) for other in others if other.virtual_gateway == interface.virtual_gateway})
    )
    for accepted in (interface.accept or ())[:2]:
        prefix = accepted.prefix
        if prefix.prefixlen == 0 or not any(
            session.received and (session.family == "ipv4") is (prefix.version == 4) for session in facts.sessions
        ):
            continue
        try:
            link = outgoing_link(sock, prefix[1] if prefix.num_addresses > 1 else prefix[0])
        except KernelError:
            link = None
        yield RouteLook(str(prefix), link, expected)


def _foreign_firewall() -> tuple[str, ...]:
    """The chains of others that drop something where our traffic passes; none where nft cannot be asked."""
    nft = shutil.which("nft", path=os.pathsep.join(("/usr/sbin", "/sbin", os.defpath)))
    if nft is None:
        return ()
    try:
        done = subprocess.run([nft, "-j", "list", "ruleset"], capture_output=True, text=True, timeout=10, check=False)
        listing = json.loads(done.stdout) if done.returncode == 0 else {}
    except (subprocess.TimeoutExpired, ValueError):
        return ()
    return tuple(dropping_chains(listing))


def dropping_chains(listing: Any) -> Iterator[str]:
    """The base chains of others in nft's JSON listing that drop, by policy or by a rule."""
    objects = listing.get("nftables", []) if isinstance(listing, dict) else []
    chains: dict[tuple[str, str, str], str] = {}
    dropping: dict[tuple[str, str, str], int] = {}
    for entry in objects:
        if (chain := entry.get("chain")) is not None and chain.get("table") != TABLE_NAME and "hook" in chain:
            place = (chain["family"], chain["table"], chain["name"])
            policy = f", policy {chain['policy']}" if chain.get("policy") == "drop" else ""
            chains[place] = f"{chain['hook']}{policy}"
        rule = entry.get("rule")
        if rule is not None and rule.get("table") != TABLE_NAME:
            place = (rule["family"], rule["table"], rule["chain"])
            if any("drop" in part or "reject" in part for part in rule.get("expr", []) if isinstance(part, dict)):
                dropping[place] = dropping.get(place, 0) + 1
    for place, hook in chains.items():
        family, table, name = place
        if "policy drop" in hook or place in dropping:
            rules = f", {dropping[place]} dropping rules" if place in dropping else ""
            yield f"nft table {family} {table}, chain {name} (hook {hook}{rules})"
