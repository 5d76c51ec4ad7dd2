"""The walk: for each layer what an engineer would find, and what must be said of it."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import pytest

from dcedge.explain.evidence import (
    Capture,
    DaemonSays,
    Evidence,
    OpenSeen,
    PathCheck,
    TaggedSender,
    TcpCheck,
)
from dcedge.explain.walk import LAYERS, explain
from dcedge.kernel.port.optics import Lane, Optics
from dcedge.monitor.health.facts import Facts, LightFacts, MemberFacts, OwnLoss, PortFacts
from dcedge.monitor.health.judge import judge
from dcedge.monitor.health.rules.own_losses import in_words
from dcedge.monitor.health.verdict import Layer, Side
from tests.unit.explain.scene import ACTIVE, ANSWERS, NOW, PEER, ROUTE, SILENT, UP, WELL

PORT = WELL.facts.port
MAC = "00:1b:21:aa:bb:cc"
QUIET = replace(WELL.facts.link, silent=4.0)
DEAD = (PathCheck(PEER, 4, 0, neighbour=False),)
BOND = PortFacts("bond0", members=(MemberFacts("eth1"), MemberFacts("eth2", partner=False)))
RECEIVED = "BGP Notification received: "
SHUT, CAP = f"{RECEIVED}Cease/Administrative Shutdown", f"{RECEIVED}Cease/Maximum Number of Prefixes Reached"
DARK = Optics("FINISAR", "FTLX1471", "ABC", (Lane(-40.0, -2.5),), -18.4, -10.2, ("no light comes in",))


def facts(**changes: object) -> Facts:
    return replace(WELL.facts, **changes)  # type: ignore[arg-type]


def evidence(changed: Facts, **changes: object) -> Evidence:
    return replace(WELL, facts=changed, **changes)  # type: ignore[arg-type]


KEPT = facts(frr_version="10.3", sessions=(replace(ACTIVE, state="Idle", held=True),))


class Row(NamedTuple):
    case: str
    evidence: Evidence
    layer: Layer
    side: Side
    says: str
    agrees: bool = True  # the daemon, from the same facts, names the same layer


ROWS = [
    Row("ordered down", evidence(facts(admin="down")), "order", "customer", "administratively down"),
    Row("no such port", evidence(facts(port=replace(PORT, present=False))), "port", "customer", "does not exist"),
    Row("port set down", evidence(facts(port=replace(PORT, admin_up=False))), "port", "customer", "is set down"),
    Row(
        "fibre cut, as the transceiver sees it",
        evidence(
            facts(port=replace(PORT, carrier=False, light=LightFacts(-40.0, -2.5, -18.4, -10.2))),
            port=replace(WELL.port, optics=(("eth1", DARK),)),
        ),
        "light",
        "line",
        "no carrier and no light",
    ),
    Row("fibre cut", evidence(facts(port=replace(PORT, carrier=False))), "carrier", "line", "has no carrier"),
    Row("one LACP member out", evidence(facts(port=BOND)), "lacp", "cloud", "does not speak LACP on eth2"),
    Row(
        "link not made",
        evidence(facts(link=replace(QUIET, present=False), failing=("create link eth1.101: refused",))),
        "link",
        "customer",
        "create link eth1.101: refused",
    ),
    Row(
        "another VLAN at the cloud",
        evidence(
            facts(link=QUIET, sessions=(ACTIVE,), probes=(SILENT,)),
            paths=DEAD,
            capture=Capture(4, strangers=(TaggedSender((111,), MAC, PEER),)),
        ),
        "frames",
        "cloud",
        f"ordered VLAN 101, seeing VLAN 111 from {MAC} ({PEER})",
    ),
    Row(
        "untagged at the cloud",
        evidence(
            facts(link=QUIET, sessions=(ACTIVE,), probes=(SILENT,)),
            paths=DEAD,
            capture=Capture(4, strangers=(TaggedSender((), MAC, None),)),
        ),
        "frames",
        "cloud",
        f"ordered VLAN 101, seeing untagged from {MAC}",
    ),
    Row(
        "nothing comes in at all",
        evidence(facts(link=QUIET, sessions=(ACTIVE,), probes=(SILENT,)), paths=DEAD, capture=Capture(4)),
        "frames",
        "cloud",
        "no frame is received on VLAN 101",
    ),
    Row(
        "the route of its subnet taken away: pings are bound to the link, and answered",
        evidence(facts(sessions=(ACTIVE,), astray={PEER: None})),
        "tcp",
        "customer",
        f"this router has no route to {PEER}: somebody has taken away that of its subnet on eth1.101",
    ),
    Row(
        "somebody's route to the cloud itself",
        evidence(facts(sessions=(ACTIVE,), astray={PEER: "tun0"}), tcp={PEER: TcpCheck("accepted")}),
        "tcp",
        "customer",
        f"packets to {PEER} leave by tun0 instead of eth1.101",
    ),
    Row(
        "cloud silent on ARP",
        evidence(
            facts(sessions=(ACTIVE,), probes=(SILENT,)),
            paths=DEAD,
            capture=Capture(4, neighbours=((PEER, MAC),)),
        ),
        "neighbour",
        "cloud",
        f"{PEER} does not answer ARP",
    ),
    Row(
        "another address at the cloud",
        evidence(
            facts(sessions=(ACTIVE,), probes=(SILENT,)),
            paths=DEAD,
            capture=Capture(4, neighbours=(("10.255.101.5", MAC),)),
        ),
        "neighbour",
        "cloud",
        f"the cloud uses 10.255.101.5 ({MAC}) where the order says {PEER}",
    ),
    Row(
        "a firewall here forbids to send",
        evidence(
            facts(sessions=(ACTIVE,)),
            paths=(PathCheck(PEER, 1, 0, refused="a firewall on this router blocks it"),),
            foreign_firewall=("nft table inet filter, chain output (hook output, policy drop)",),
        ),
        "ping",
        "customer",
        "cannot send",
        agrees=False,
    ),
    Row(
        "a firewall here drops the answers",
        evidence(
            facts(sessions=(ACTIVE,), probes=(replace(SILENT, neighbour=True),)),
            paths=(PathCheck(PEER, 4, 0, neighbour=True),),
            capture=Capture(4, replies=frozenset({PEER})),
        ),
        "ping",
        "customer",
        "answers pings, but a firewall on this router drops the answers",
        agrees=False,
    ),
    Row(
        "MTU black hole",
        evidence(
            facts(probes=(replace(ANSWERS, full_size=False),)), paths=(PathCheck(PEER, 3, 3, 0.0004, path_mtu=1400),)
        ),
        "mtu",
        "cloud",
        "packets of 1500 bytes do not get through",
    ),
    Row(
        "FRR is not there", evidence(facts(frr_available=False, sessions=())), "frr", "customer", "FRR does not answer"
    ),
    Row(
        "TCP 179 filtered",
        evidence(facts(sessions=(ACTIVE,)), tcp={PEER: TcpCheck("silence", "silence")}),
        "tcp",
        "cloud",
        "does not answer on TCP 179",
    ),
    Row(
        "nobody listens on TCP 179",
        evidence(facts(sessions=(ACTIVE,)), tcp={PEER: TcpCheck("refused", "refused")}),
        "tcp",
        "cloud",
        "no BGP session is configured there",
    ),
    Row(
        "a firewall here eats the SYN-ACK",
        evidence(facts(sessions=(ACTIVE,)), tcp={PEER: TcpCheck("silence", "silence", answered_unheard=True)}),
        "tcp",
        "customer",
        "answers on TCP 179, but a firewall on this router drops the answer",
    ),
    Row(
        "no password at the cloud, seen by its own SYN",
        evidence(facts(sessions=(replace(ACTIVE, digest="missing"),)), tcp={PEER: TcpCheck("silence", "silence")}),
        "md5",
        "cloud",
        "no password is set there",
    ),
    Row(
        "no password at the cloud, seen by its answer to ours",
        evidence(facts(sessions=(ACTIVE,)), tcp={PEER: TcpCheck("silence", "accepted")}),
        "md5",
        "cloud",
        "no password is set there",
        agrees=False,
    ),
    Row(
        "another password at the cloud",
        evidence(facts(sessions=(replace(ACTIVE, digest="wrong"),)), tcp={PEER: TcpCheck("silence", "silence")}),
        "md5",
        "cloud",
        "another password is set there",
    ),
    Row(
        "shut down at the cloud, whose listener has forgotten the password",
        evidence(facts(sessions=(replace(ACTIVE, last_reset=SHUT),)), tcp={PEER: TcpCheck("silence", "accepted")}),
        "open",
        "cloud",
        "the cloud has shut the session down",
        agrees=False,
    ),
    Row(
        "removed at the cloud, where nobody listens any more",
        evidence(
            facts(sessions=(replace(ACTIVE, last_reset=f"{RECEIVED}Cease/Peer De-configured"),)),
            tcp={PEER: TcpCheck("silence", "refused")},
        ),
        "open",
        "cloud",
        "the cloud has removed the session",
        agrees=False,
    ),
    Row(
        "too many prefixes for the cloud, whose listener has forgotten the password",
        evidence(facts(sessions=(replace(ACTIVE, last_reset=CAP),)), tcp={PEER: TcpCheck("silence", "accepted")}),
        "prefixes",
        "customer",
        "we announce more prefixes than the cloud accepts",
    ),
    Row(
        "shut down at the cloud, and back with another password, as its own SYN shows",
        evidence(
            facts(sessions=(replace(ACTIVE, digest="missing", last_reset=SHUT),)),
            tcp={PEER: TcpCheck("silence", "accepted", digest="missing")},
        ),
        "md5",
        "cloud",
        "no password is set there",
        agrees=False,
    ),
    Row(
        "changed at the cloud, whose listener knows no password since",
        evidence(
            facts(sessions=(replace(ACTIVE, last_reset=f"{RECEIVED}Cease/Other Configuration Change"),)),
            tcp={PEER: TcpCheck("silence", "accepted")},
        ),
        "md5",
        "cloud",
        "no password is set there",
        agrees=False,
    ),
    Row(
        "up again for a moment after the cloud shut it down, seen before its listener is asked",
        evidence(
            facts(sessions=(replace(UP, duration=2, last_reset=SHUT),)), tcp={PEER: TcpCheck("silence", "accepted")}
        ),
        "open",
        "cloud",
        "is Established for 2 s, but was closed before: the cloud has shut the session down",
        agrees=False,
    ),
    Row(
        "up again for a moment after this router ended it, whatever its listener says",
        evidence(
            facts(sessions=(replace(UP, duration=2, last_reset=CAP.replace("received", "send")),)),
            tcp={PEER: TcpCheck("silence", "accepted")},
        ),
        "prefixes",
        "cloud",
        "the cloud announces more prefixes than the order's receive_limit",
    ),
    Row(
        "FRR does not try while BFD is down",
        evidence(KEPT, tcp={PEER: TcpCheck("accepted", "silence")}),
        "bfd",
        "customer",
        "FRR 10.3 sets up no session while BFD is not up",
    ),
    Row(
        "FRR does not try while BFD is down, and TCP was not tried",
        evidence(KEPT),
        "bfd",
        "customer",
        "FRR 10.3 sets up no session while BFD is not up",
    ),
    Row(
        "FRR does not try while BFD is down, and pings are filtered",
        evidence(
            replace(KEPT, probes=(replace(SILENT, neighbour=True),)),
            paths=(PathCheck(PEER, 4, 0, neighbour=True),),
            tcp={PEER: TcpCheck("accepted", "silence")},
        ),
        "bfd",
        "unknown",
        "the cloud answers no pings, and FRR 10.3 sets up no session while BFD is not up",
        agrees=False,
    ),
    Row(
        "FRR does not try while BFD is down, and nobody would listen",
        evidence(KEPT, tcp={PEER: TcpCheck("refused", "refused")}),
        "tcp",
        "cloud",
        "no BGP session is configured there",
        agrees=False,
    ),
    Row(
        "FRR does not try while BFD is down, and TCP 179 is filtered",
        evidence(KEPT, tcp={PEER: TcpCheck("silence", "silence")}),
        "tcp",
        "cloud",
        "BGP to 10.255.101.1 is Idle: the cloud does not answer on TCP 179",
        agrees=False,
    ),
    Row(
        "BFD down a moment ago",
        evidence(
            facts(sessions=(replace(ACTIVE, state="Idle", last_reset="BFD down received"),)),
            tcp={PEER: TcpCheck("accepted", "silence")},
        ),
        "bfd",
        "unknown",
        "BFD went down, and FRR is about to try again",
    ),
    Row(
        "the cloud refuses our ASN",
        evidence(
            facts(sessions=(replace(ACTIVE, last_reset="BGP Notification received: OPEN Message Error/Bad Peer AS"),)),
            tcp={PEER: TcpCheck("accepted", "silence")},
        ),
        "open",
        "cloud",
        "refuses our AS 65010",
    ),
    Row(
        "the cloud comes with another ASN",
        evidence(
            facts(sessions=(replace(ACTIVE, last_reset="BGP Notification send: OPEN Message Error/Bad Peer AS"),)),
            capture=Capture(4, opens={PEER: OpenSeen(65146, 90, "10.20.0.1", ("IPv4/unicast",))}),
        ),
        "open",
        "cloud",
        "the cloud comes with AS 65146, ordered is AS 64512",
    ),
    Row(
        "TCP is there and no session comes of it",
        evidence(facts(sessions=(ACTIVE,)), tcp={PEER: TcpCheck("accepted", "silence")}),
        "open",
        "cloud",
        "BGP to 10.255.101.1 is Active",
        agrees=False,
    ),
    Row(
        "BFD off at the cloud",
        evidence(facts(sessions=(replace(UP, bfd="down"),))),
        "bfd",
        "cloud",
        "has not enabled it",
    ),
    Row(
        "too many prefixes for the cloud",
        evidence(
            facts(
                sessions=(
                    replace(ACTIVE, last_reset="BGP Notification received: Cease/Maximum Number of Prefixes Reached"),
                )
            ),
            tcp={PEER: TcpCheck("accepted", "silence")},
        ),
        "prefixes",
        "customer",
        "we announce more prefixes than the cloud accepts",
    ),
    Row(
        "too many prefixes for the cloud, at a moment at which the session is up again",
        replace(
            WELL,
            facts=facts(sessions=(replace(UP, duration=1, received=0),)),
            daemon=DaemonSays("down", "we announce more prefixes than the cloud accepts", "prefixes", "customer", NOW),
        ),
        "prefixes",
        "customer",
        "we announce more prefixes than the cloud accepts",
        agrees=False,
    ),
    Row(
        "no prefix comes",
        evidence(facts(sessions=(replace(UP, received=0),))),
        "prefixes",
        "unknown",
        "announces no prefix",
    ),
    Row(
        "the router does not forward",
        replace(WELL, not_forwarding=("net.ipv4.ip_forward",)),
        "forwarding",
        "customer",
        "net.ipv4.ip_forward is 0",
        agrees=False,
    ),
    Row(
        "another route wins",
        evidence(facts(routes=(replace(ROUTE, link="eth0"),))),
        "forwarding",
        "customer",
        "traffic for 10.20.0.0/16 leaves by eth0 instead of eth1.101",
    ),
    Row(
        "a static route of others wins",
        evidence(facts(routes=(replace(ROUTE, link="eth0", instead="kernel"),))),
        "forwarding",
        "customer",
        "leaves by eth0 instead of eth1.101: a static route of others is preferred",
    ),
    Row(
        "a route that leads nowhere wins",
        evidence(facts(routes=(replace(ROUTE, link=None, instead="static"),))),
        "forwarding",
        "customer",
        "traffic for 10.20.0.0/16 has no route instead of eth1.101: a static route of others",
    ),
    Row(
        "the kernel refuses the route",
        evidence(facts(routes=(replace(ROUTE, link="eth0", rejected=True, errors=3),))),
        "forwarding",
        "customer",
        "zebra could not install 10.20.0.0/16, the kernel refused it: 3 route update errors in `show zebra dplane`; "
        "traffic for it leaves by eth0",
    ),
    Row(
        "a next hop that nobody knows",
        evidence(facts(routes=(replace(ROUTE, link="eth0", unresolved=((PEER, "203.0.113.9"),)),))),
        "forwarding",
        "cloud",
        f"FRR does not use 10.20.0.0/16 of {PEER}: there is no route to its next hop 203.0.113.9, which is not {PEER}",
    ),
    Row(
        "policed below the order",
        replace(WELL, daemon=DaemonSays("degraded", "40% lost while 38M go out", "rate", "cloud", NOW - 60)),
        "rate",
        "cloud",
        "40% lost",
        agrees=False,
    ),
    Row(
        "half duplex",
        replace(WELL, facts=replace(WELL.facts, port=replace(WELL.facts.port, half_duplex=True))),
        "carrier",
        "unknown",
        "half duplex",
    ),
    Row(
        "a port slower than ordered",
        replace(
            WELL,
            facts=replace(WELL.facts, port=PortFacts("eth1", speed_bps=10**9, connection="fra-1", ordered_bps=10**10)),
        ),
        "carrier",
        "unknown",
        "port eth1 runs at 1G; 10G are ordered on fra-1",
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.case)
def test_the_first_layer_that_fails_is_named_with_its_side(row: Row) -> None:
    finding = explain(row.evidence).finding
    assert finding is not None
    assert (finding.layer, finding.side) == (row.layer, row.side), finding.text
    assert row.says in finding.text
    assert finding.advice, "a finding without a next step helps nobody"
    if row.agrees:
        verdict = judge(row.evidence.facts)
        assert (verdict.layer, verdict.side) == (row.layer, row.side) or (row.layer, verdict.layer) == ("tcp", "tcp")


def test_what_the_cloud_has_said_stands_beside_a_path_that_has_died_since() -> None:
    ended = facts(link=QUIET, sessions=(replace(ACTIVE, last_reset=SHUT),), probes=(SILENT,))
    finding = explain(evidence(ended, paths=DEAD, capture=Capture(4))).finding
    assert finding is not None
    assert finding.layer == "frames"
    assert f"last reset: {SHUT}" in finding.evidence


def test_health_has_no_finding_and_every_layer_its_word() -> None:
    walked = explain(WELL)
    assert walked.finding is None
    assert [step.layer for step in walked.steps] == [layer for layer, _, _ in LAYERS]
    assert all(step.text for step in walked.steps)


def test_beyond_the_failing_layer_nothing_is_judged() -> None:
    walked = explain(evidence(facts(port=replace(PORT, carrier=False), sessions=(ACTIVE,))))
    after = [step.state for step in walked.steps][[s.layer for s in walked.steps].index("carrier") + 1 :]
    assert set(after) == {"skipped"}


def test_what_is_degraded_on_the_way_yields_to_what_fails_above() -> None:
    finding = explain(evidence(facts(port=BOND, sessions=(replace(ACTIVE, digest="wrong"),)))).finding
    assert finding is not None
    assert finding.layer == "md5"


def test_filtered_icmp_is_no_fault_while_bgp_lives() -> None:
    walked = explain(evidence(facts(probes=(replace(SILENT, neighbour=True),)), paths=(PathCheck(PEER, 4, 0),)))
    assert walked.finding is None


def test_policed_icmp_is_said_and_is_no_fault() -> None:
    said = "as ordered; 40% of the pings go unanswered, but BFD loses none: policed ICMP"
    walked = explain(replace(WELL, daemon=DaemonSays("up", said, "ping", "cloud", NOW)))
    assert walked.finding is None
    assert said in next(step.text for step in walked.steps if step.layer == "ping")


def test_a_verdict_that_waits_for_good_news_to_last_is_told() -> None:
    waiting = DaemonSays("down", "no carrier; it has recovered, waiting for that to last", "carrier", "line", NOW)
    finding = explain(replace(WELL, daemon=waiting)).finding
    assert finding is not None
    assert (finding.layer, finding.state) == ("carrier", "degraded")


def test_half_of_a_dual_stack_is_found() -> None:
    other = replace(ACTIVE, peer="2001:db8::1", family="ipv6", digest="missing")
    finding = explain(evidence(facts(sessions=(UP, other)))).finding
    assert finding is not None
    assert (finding.layer, finding.side) == ("md5", "cloud")


def test_who_may_not_ask_frr_is_told_so_and_no_fault_is_made_of_it() -> None:
    walked = explain(evidence(facts(sessions=()), frr_asked=False))
    assert walked.finding is None
    states = {step.layer: step.state for step in walked.steps}
    assert (states["frr"], states["tcp"], states["prefixes"]) == ("unknown", "skipped", "skipped")


def test_a_missing_look_is_unknown_and_no_finding() -> None:
    walked = explain(replace(WELL, paths=(), facts=facts(probes=()), unseen=("ping was not tested: this needs root",)))
    assert walked.finding is None
    assert {step.layer: step.state for step in walked.steps}["ping"] == "unknown"


def test_what_this_router_lost_itself_is_said_once_with_what_to_do() -> None:
    loss = OwnLoss("eth1", "rx_missed_errors", 100, 1_000)
    said = "11% of the pings are lost"
    says = DaemonSays("degraded", said, "ping", "unknown", NOW - 60)
    lossy = replace(WELL, daemon=says)
    before = explain(lossy).finding
    assert before is not None
    finding = explain(replace(lossy, facts=replace(WELL.facts, own_losses=(loss,)))).finding
    assert finding is not None
    assert (before.side, finding.side) == ("unknown", "customer")
    assert finding.text == f"{before.text}; but {in_words(loss)}"
    assert "ethtool -g eth1" in finding.advice
    known = replace(lossy.facts, own_losses=(loss,))
    told = replace(lossy, facts=known, daemon=replace(says, reason=f"{said}; but {in_words(loss)}"))
    again = explain(told).finding
    assert again is not None
    assert again.text.count("rx_missed_errors") == 1
