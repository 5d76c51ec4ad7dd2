"""Puts together what the last pass did and what is polled and probed: the verdicts, and the snapshot of it all."""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address

from dcedge import __version__
from dcedge.frr.state import SessionState
from dcedge.kernel.counters import Counters
from dcedge.kernel.naming import interface_link
from dcedge.kernel.neighbours import NeighbourKey, Neighbours, NeighbourState, neighbour_key
from dcedge.kernel.port.hardware import Hardware
from dcedge.kernel.softnet import SoftnetCounters
from dcedge.monitor.collect_facts import (
    Place,
    digest_suspects,
    link_facts,
    port_facts,
    session_facts,
    session_place,
)
from dcedge.monitor.health.digest import DigestCounts, DigestMeter, Suspect
from dcedge.monitor.health.facts import STANDS, DigestFault, Facts, LoadFacts, ProbeFacts, RouteFacts, SessionFacts
from dcedge.monitor.health.judge import judge
from dcedge.monitor.health.lateness_meter import LatenessMeter
from dcedge.monitor.health.loss_under_load import LoadMeter, ProbeTotals, is_busy
from dcedge.monitor.health.notifications import refusal
from dcedge.monitor.health.own_loss_meter import OwnLossMeter
from dcedge.monitor.health.static import PathFacts
from dcedge.monitor.health.tracker import Tracker
from dcedge.monitor.last_hour import Hour
from dcedge.monitor.saturation import SaturationMeter
from dcedge.monitor.snapshot import (
    ConnectionSnapshot,
    FrrSnapshot,
    OrderSnapshot,
    PassSnapshot,
    RateMeter,
    RouterSnapshot,
    Snapshot,
    Used,
    VirtualInterfaceSnapshot,
    session_snapshot,
)
from dcedge.order.drain import quiet_bps
from dcedge.order.field_types import Address, Family
from dcedge.order.model import BondPort, Order
from dcedge.order.resolve import ResolvedInterface, Session, root_connection
from dcedge.probe.prober import ProberStats
from dcedge.probe.stamp import StampStats
from dcedge.probe.stream import SILENT_IN_A_ROW, ProbeStats, Stream, full_size_passes
from dcedge.reconcile import clock
from dcedge.reconcile.result import PassResult
from dcedge.units import format_rate

NEIGHBOUR_SECONDS = 3.0
REFUSAL_SECONDS = 60.0
LATE_SECONDS = 30.0  # so long what this router did late may show in sessions and probes


@dataclass(frozen=True, slots=True)
class Sample:
    """One reading of counters and sessions; `sessions` is None while bgpd does not answer.

    `frr_detail` says which of FRR's daemons do not, and why; `frr_wedged` names those that hang and are not needed.
    """

    at: float
    counters: Counters
    sessions: Mapping[Place, SessionState] | None
    frr_detail: str
    neighbours: Neighbours = field(default_factory=dict)
    digests: DigestCounts | None = None
    frr_version: str | None = None  # as FRR gives it: `10.3`
    frr_wedged: tuple[str, ...] = ()
    routes: Mapping[str, tuple[RouteFacts, ...]] = field(default_factory=dict)  # by virtual gateway
    not_forwarded: frozenset[Family] = frozenset()
    astray: Mapping[Place, str | None] = field(default_factory=dict)  # of sessions that are down: where packets go
    softnet: tuple[SoftnetCounters, ...] = ()


def path_facts(interface: ResolvedInterface, sample: Sample, indices: Mapping[str, int]) -> PathFacts:
    """What a sample tells of the path of one virtual interface."""
    port = sample.counters.links.get(interface.port)
    index = indices.get(interface_link(interface))
    answers = [neighbour_answers(sample, index, pair.cloud) for pair in interface.addresses]
    sessions = (
        [sample.sessions.get(session_place(s, interface.vrf)) for s in interface.sessions] if sample.sessions else []
    )
    return PathFacts(
        carrier=port.carrier if port is not None else False,
        neighbour=False if False in answers else (True if True in answers else None),
        established=any(state is not None and state.up for state in sessions),
    )


def neighbour_answers(sample: Sample, index: int | None, address: Address) -> bool | None:
    """Whether an address on a link answers ARP or neighbour discovery; None where that is not known now."""
    state = sample.neighbours.get(neighbour_key(index, address)) if index is not None else None
    return state.answers if state is not None else None


def _ports_of(interface: ResolvedInterface) -> tuple[str, ...]:
    """Where its frames come in: the port, or the members of the bond that it is."""
    return interface.bond.members if interface.bond is not None else (interface.port,)


def _sessions(interface: ResolvedInterface, sample: Sample) -> list[tuple[Session, SessionState]]:
    """What FRR tells of the ordered sessions; without BFD's state where none is ordered."""
    if sample.sessions is None:
        return []
    found = ((s, sample.sessions.get(session_place(s, interface.vrf))) for s in interface.sessions)
    return [
        (session, state if session.bfd is not None else replace(state, bfd=None))
        for session, state in found
        if state is not None
    ]


def _carried(interface: ResolvedInterface, used: Used) -> str:
    """The traffic that a virtual interface carries, in words; empty where it is no more than what it needs itself."""
    quiet = quiet_bps(interface)
    ways = ((used.receive_bps, "in"), (used.transmit_bps, "out"))
    return ", ".join(f"{format_rate(bps)} {way}" for bps, way in ways if bps > quiet)


@dataclass(slots=True)
class StatusCollector:
    """The latest of everything, and the verdicts that follow from it."""

    tracker: Tracker = field(default_factory=Tracker)
    meter: RateMeter = field(default_factory=RateMeter)
    saturation: SaturationMeter = field(default_factory=SaturationMeter)
    hour: Hour = field(default_factory=Hour)
    clock: Callable[[], float] = clock.now
    load: LoadMeter = field(default_factory=LoadMeter)
    digest: DigestMeter = field(default_factory=DigestMeter)
    lateness: LatenessMeter = field(default_factory=LatenessMeter)
    own_losses: OwnLossMeter = field(default_factory=OwnLossMeter)
    hardware: Hardware = field(default_factory=Hardware)
    _since: dict[Place, tuple[str, float]] = field(default_factory=dict)
    _heard: dict[str, tuple[int, float]] = field(default_factory=dict)  # by link: frames received, and since when
    _answers: dict[NeighbourKey, bool] = field(default_factory=dict)
    _asked: dict[NeighbourKey, float] = field(default_factory=dict)  # since when the kernel asks in vain
    _refused: dict[Place, tuple[str, float]] = field(default_factory=dict)  # what a NOTIFICATION said, and when
    _digests: Mapping[str, DigestFault] = field(default_factory=dict)  # by peer
    _interfaces: tuple[VirtualInterfaceSnapshot, ...] = ()
    _connections: tuple[ConnectionSnapshot, ...] = ()
    _softnet: tuple[SoftnetCounters, ...] = ()

    def update(
        self,
        order: Order,
        result: PassResult,
        sample: Sample,
        streams: Mapping[str, tuple[Stream, ...]],
        drained: frozenset[str],
    ) -> None:
        """Take in a sample: judge every virtual interface anew. `streams` are the probes' by virtual interface."""
        failing: dict[str, list[str]] = {}
        for failure in result.failures:
            text = f"{failure.operation.action} {failure.operation.key}: {failure.text}"
            for name in failure.operation.affects:
                failing.setdefault(name, []).append(text)
        for name, problem in result.intent.missing_credentials.items():
            failing.setdefault(name, []).append(str(problem))
        waits = sample.frr_detail or ("" if result.frr_available else result.frr_detail)
        for interface in result.intent.interfaces.values() if waits and sample.sessions is not None else ():
            if interface.sessions:
                failing.setdefault(interface.name, []).append(f"changes to FRR are deferred: {waits}")
        self.lateness.feed(sample.at)
        self._note_ports(result.intent.interfaces.values(), sample)
        self._note_states(sample)
        self._note_frames(sample)
        self._note_answers(sample)
        self._note_digests(result.intent.interfaces.values(), result.indices, sample)
        self._interfaces = tuple(
            self._interface(
                interface,
                result,
                sample,
                streams.get(interface.name, ()),
                tuple(failing.get(interface.name, ())),
                interface.name in drained,
            )
            for interface in result.intent.interfaces.values()
        )
        self.hour.feed(self._interfaces, sample.at)
        self._connections = tuple(
            self._connection(order, name, sample, result.intent.ports) for name in order.connections
        )
        self.tracker.keep_only(result.intent.interfaces)
        self.meter.keep_only(set(sample.counters.links))
        self.load.keep_only(result.intent.interfaces)
        self.saturation.keep_only(sample.counters.shapers)

    def snapshot(
        self,
        order: Order,
        frr: FrrSnapshot,
        passes: PassSnapshot,
        file: OrderSnapshot,
        prober: ProberStats | None,
        stamps: tuple[StampStats, ...] = (),
    ) -> Snapshot:
        """All that the outside sees, now."""
        return Snapshot(
            taken=self.clock(),
            version=__version__,
            router=RouterSnapshot(socket.gethostname(), order.router.asn, str(order.router.router_id)),
            frr=frr,
            connections=self._connections,
            virtual_interfaces=self._interfaces,
            passes=passes,
            order=file,
            prober=prober,
            stamps=stamps,
            softnet=self._softnet,
        )

    def carrying(self, order: Order) -> dict[str, frozenset[Family]]:
        """The virtual interfaces that carry traffic, and of which families."""
        return {
            vi.name: frozenset(pair.family for pair in order.virtual_interfaces[vi.name].addresses)
            if vi.static
            else frozenset(s.family for s in vi.sessions if s.up and s.accepted)
            for vi in self._interfaces
            if vi.verdict.carries and vi.name in order.virtual_interfaces
        }

    def _note_states(self, sample: Sample) -> None:
        if sample.sessions is None:
            return
        since = {}
        for place, session in sample.sessions.items():
            before = self._since.get(place)
            since[place] = before if before is not None and before[0] == session.state else (session.state, sample.at)
        self._since = since

    def _note_ports(self, interfaces: Iterable[ResolvedInterface], sample: Sample) -> None:
        names = {name for interface in interfaces for name in _ports_of(interface)}
        links = sample.counters.links
        ports = {name: links[name] for name in names if name in links}
        self.own_losses.feed(sample.at, ports, sample.softnet)
        self._softnet = sample.softnet

    def _note_frames(self, sample: Sample) -> None:
        heard = {}
        for name, link in sample.counters.links.items():
            before = self._heard.get(name)
            same = before is not None and before[0] == link.receive_packets
            heard[name] = before if before is not None and same else (link.receive_packets, sample.at)
        self._heard = heard

    def _note_answers(self, sample: Sample) -> None:
        """Remember who answers ARP or ND.

        A failed entry is seldom seen: the next packet has the kernel ask anew. What it asks for longer than one round
        of questions takes (three, a second apart: arp(7), mcast_solicit) has failed meanwhile.
        """
        answers, asked = {}, {}
        for key, state in sample.neighbours.items():
            if (answer := state.answers) is not None:
                answers[key] = answer
            elif state & NeighbourState.INCOMPLETE:
                asked[key] = self._asked.get(key, sample.at)
                if sample.at - asked[key] > NEIGHBOUR_SECONDS or self._answers.get(key) is False:
                    answers[key] = False
        self._answers, self._asked = answers, asked

    def _last_reset(self, state: SessionState, at: float) -> str | None:
        """Why a session was lost; what a NOTIFICATION said weighs more than what came of it (BFD going down)."""
        place, said = (state.vrf, str(state.peer)), state.last_reset
        duration = self._duration(state, at)
        if state.up and duration is not None and duration >= STANDS:
            self._refused.pop(place, None)  # that was mended
            return said
        if said is not None and refusal(said) is not None:
            if said != self._refused.get(place, ("", 0.0))[0]:
                self.digest.forget(place[1])  # who can say so has the password
            self._refused[place] = (said, at)
            return said
        before = self._refused.get(place)
        return before[0] if before is not None and at - before[1] <= REFUSAL_SECONDS else said

    def _note_digests(
        self, interfaces: Collection[ResolvedInterface], indices: Mapping[str, int], sample: Sample
    ) -> None:
        if sample.digests is None or sample.sessions is None:
            self._digests = {}
            return
        suspects: list[Suspect] = []
        if not all(state.up for state in sample.sessions.values()):
            unreachable = frozenset(
                str(pair.cloud)
                for interface in interfaces
                for pair in interface.addresses
                if self._answers.get(neighbour_key(indices.get(interface_link(interface), 0), pair.cloud)) is False
            )
            suspects = digest_suspects(interfaces, sample.sessions, unreachable)
        self.digest.feed(sample.digests, suspects, sample.at)
        self._digests = self.digest.faults(sample.at)

    def _silent(self, link: str, at: float) -> float | None:
        heard = self._heard.get(link)
        return at - heard[1] if heard is not None else None

    def _load(
        self, interface: ResolvedInterface, used: Used | None, probes: tuple[ProbeStats, ...]
    ) -> LoadFacts | None:
        if used is None:
            return None
        totals = ProbeTotals(
            sum(probe.sent + probe.full_size_sent for probe in probes),
            sum(probe.lost + probe.full_size_lost for probe in probes),
            sum(probe.full_size_sent for probe in probes),
            sum(probe.full_size_lost for probe in probes),
        )
        return self.load.feed(interface.name, totals, interface.rate_bps, used.receive_bps, used.transmit_bps)

    def _interface(
        self,
        interface: ResolvedInterface,
        result: PassResult,
        sample: Sample,
        streams: tuple[Stream, ...],
        failing: tuple[str, ...],
        drained: bool,
    ) -> VirtualInterfaceSnapshot:
        link = interface_link(interface)
        counters = sample.counters.links.get(link)
        sessions = _sessions(interface, sample)
        used = self.meter.feed(link, counters, sample.at) if counters is not None else None
        busy = used is not None and is_busy(interface.rate_bps, used.receive_bps, used.transmit_bps)
        if used is not None:
            for stream in streams:
                stream.busy = busy
                stream.router_late = self.lateness.worst(sample.at, stream.interval * stream.window_probes)
        probes = tuple([stream.read() for stream in streams])
        judged = tuple(self._session_facts(interface, session, state, sample.at) for session, state in sessions)
        facts = Facts(
            admin=interface.admin,
            port=port_facts(interface, sample.counters.links, self.hardware),
            link=link_facts(interface, sample.counters.links, self._silent(link, sample.at)),
            static=not interface.sessions,
            drained=drained,
            was_up=self.tracker.was_up(interface.name),
            carries=_carried(interface, used) if drained and used is not None else "",
            failing=failing,
            frr_available=sample.sessions is not None,
            frr_detail=sample.frr_detail,
            frr_version=sample.frr_version,
            sessions=judged,
            probes=tuple(self._probe_facts(p, result.indices.get(link), interface.mtu) for p in probes),
            busy=busy,
            load=self._load(interface, used, probes),
            ordered_bps=interface.rate_bps,
            routes=sample.routes.get(interface.virtual_gateway, ()),
            families=frozenset("ipv4" if pair.customer.version == 4 else "ipv6" for pair in interface.addresses),
            not_forwarded=sample.not_forwarded,
            astray={peer: link for (vrf, peer), link in sample.astray.items() if vrf == (interface.vrf or "default")},
            router_late=self.lateness.worst(sample.at, LATE_SECONDS),
            own_losses=self.own_losses.lost(_ports_of(interface)),
        )
        shaper, saturated = sample.counters.shaper_of(interface), None
        if shaper is not None:
            saturated = self.saturation.feed(link, shaper, interface.shaped_bps, interface.overhead, sample.at)
        verdict = self.tracker.feed(interface.name, judge(facts), sample.at)
        return VirtualInterfaceSnapshot(
            name=interface.name,
            connection=interface.connection,
            virtual_gateway=interface.virtual_gateway,
            verdict=verdict,
            admin=interface.admin,
            since=self.tracker.since(interface.name),
            interface=link,
            ordered_bps=interface.rate_bps,
            preference=interface.preference,
            static=not interface.sessions,
            used=used,
            counters=counters,
            shaper=shaper,
            saturated=saturated,
            sessions=tuple(
                session_snapshot(state, facts, session)
                for (session, state), facts in zip(sessions, judged, strict=True)
            ),
            probes=probes,
            failing=failing,
            own_losses=facts.own_losses,
        )

    def _session_facts(
        self, interface: ResolvedInterface, session: Session, state: SessionState, at: float
    ) -> SessionFacts:
        return session_facts(
            interface,
            session,
            replace(state, last_reset=self._last_reset(state, at)),
            self._duration(state, at),
            self._digests.get(str(state.peer)),
        )

    def _probe_facts(self, probe: ProbeStats, index: int | None, mtu: int) -> ProbeFacts:
        # Who answers pings answers ARP or ND too; only the others' state is of interest.
        asked = index is not None and probe.lost_in_a_row >= SILENT_IN_A_ROW
        return ProbeFacts(
            probe.destination,
            probe.family,
            probe.window_probes,
            probe.window_lost,
            probe.error,
            self._answers.get(neighbour_key(index or 0, ip_address(probe.destination))) if asked else None,
            lost_in_a_row=probe.lost_in_a_row,
            full_size=full_size_passes(probe),
            span=probe.interval * probe.window_probes,
            mtu=mtu,
        )

    def _duration(self, state: SessionState, at: float) -> float | None:
        since = self._since.get((state.vrf, str(state.peer)))
        return at - since[1] if since is not None else None

    def _connection(self, order: Order, name: str, sample: Sample, own: Mapping[str, str]) -> ConnectionSnapshot:
        connection = order.connections[name]
        _, root, _ = root_connection(order, name)
        named = (root.port_name or "", *(root.port.members if isinstance(root.port, BondPort) else ()))
        ports = tuple(own.get(one, one) for one in named)
        port = ports[0]
        counters = sample.counters.links.get(port)
        return ConnectionSnapshot(
            name=name,
            provider=connection.provider,
            port=port,
            bandwidth_bps=connection.bandwidth,
            over=connection.over,
            present=counters is not None,
            carrier=counters.carrier if counters is not None else None,
            counters=counters,
            description=connection.description or "",
            circuit_id=connection.circuit_id or "",
            mode=self.hardware.modes.get(port),
            optics=tuple((name, found) for name in ports if (found := self.hardware.optics.get(name)) is not None),
            members=tuple((name, link) for name in ports[1:] if (link := sample.counters.links.get(name)) is not None),
        )
