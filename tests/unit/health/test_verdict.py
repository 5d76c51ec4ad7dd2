"""The verdict table: each row is what an operator would find, and what dcedge must say of it."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import pytest

from dcedge.monitor.health.facts import (
    Facts,
    LightFacts,
    LinkFacts,
    LoadFacts,
    MemberFacts,
    PortFacts,
    ProbeFacts,
    SessionFacts,
)
from dcedge.monitor.health.judge import judge
from dcedge.monitor.health.verdict import Side, State

PEER = "10.255.101.1"
PORT = PortFacts("eth1")
LINK = LinkFacts("eth1.101")
TEN_G = 10_000_000_000
SLOW = replace(PORT, speed_bps=1_000_000_000, connection="fra-1", ordered_bps=TEN_G)
BOND, MEMBER = PortFacts("bond0"), MemberFacts("eth2")
UP = SessionFacts(
    PEER, "ipv4", "Established", duration=600, received=3, advertised=2, advertise_ordered=True,
    customer_asn=65010, cloud_asn=64512,
)  # fmt: skip
ANSWERS = ProbeFacts(PEER, "ipv4", probes=64, lost=0)
SILENT = ProbeFacts(PEER, "ipv4", probes=64, lost=64)
GOOD = Facts("up", PORT, LINK, sessions=(UP,), probes=(ANSWERS,))
RECEIVED, SENT = "BGP Notification received: ", "BGP Notification send: "  # as FRR writes it
ACTIVE = replace(UP, state="Active", duration=35, received=0, advertised=0)
KEPT = replace(ACTIVE, state="Idle", held=True, bfd="down")
SHUT, RESET = RECEIVED + "Cease/Administrative Shutdown", RECEIVED + "Cease/Administrative Reset"
BFD_DOWN = "BFD down received"
STATIC = replace(GOOD, static=True, sessions=())


class Row(NamedTuple):
    case: str
    facts: Facts
    state: State
    says: str
    side: Side


ROWS = [
    Row("all is well", GOOD, "up", "as ordered", "unknown"),
    Row("ordered down", replace(GOOD, admin="down"), "down", "administratively down", "customer"),
    Row("planned but sound", replace(GOOD, admin="planned"), "up", "as ordered", "unknown"),
    Row("drained", replace(GOOD, drained=True), "drained", "drained by an operator", "unknown"),
    Row(
        "drained, but the cloud does not heed it",
        replace(GOOD, drained=True, carries="3M in"),
        "drained",
        "drained by an operator, but still carries 3M in",
        "unknown",
    ),
    Row(
        "drained and static",
        replace(STATIC, drained=True),
        "drained",
        "drained by an operator; it is static, so the drain cannot be announced",
        "unknown",
    ),
    Row(
        "drained, then the fibre is cut",
        replace(GOOD, drained=True, port=replace(PORT, carrier=False)),
        "drained",
        "it is also down: port eth1 has no carrier",
        "line",
    ),
    Row(
        "no such port", replace(GOOD, port=replace(PORT, present=False)), "down", "port eth1 does not exist", "customer"
    ),
    Row("port set down", replace(GOOD, port=replace(PORT, admin_up=False)), "down", "eth1 is set down", "customer"),
    Row("fibre cut", replace(GOOD, port=replace(PORT, carrier=False)), "down", "no carrier", "line"),
    Row("link not made", replace(GOOD, link=replace(LINK, present=False)), "pending", "does not exist yet", "customer"),
    Row(
        "link refused by the kernel",
        replace(GOOD, link=replace(LINK, present=False), failing=("create link: Operation not supported",)),
        "pending",
        "Operation not supported",
        "customer",
    ),
    Row("link set down", replace(GOOD, link=replace(LINK, admin_up=False)), "down", "eth1.101 is set down", "customer"),
    Row(
        "FRR absent",
        replace(GOOD, frr_available=False, frr_detail="no bgpd.vty", sessions=()),
        "pending",
        "FRR does not answer (no bgpd.vty), so BGP waits; the cloud answers pings",
        "customer",
    ),
    Row("sessions not configured", replace(GOOD, sessions=()), "pending", "BGP is not configured yet", "customer"),
    Row(
        "TCP 179 filtered",
        replace(GOOD, sessions=(ACTIVE,)),
        "down",
        f"BGP to {PEER} is Active for 35 s: the cloud does not answer on TCP 179, though it answers pings",
        "cloud",
    ),
    Row(
        "shut by us, just now, as its key is not in force",
        replace(GOOD, sessions=(replace(ACTIVE, admin_shutdown=True, duration=1),), failing=("the kernel refused",)),
        "down",
        f"BGP to {PEER} is shut down on this router: the kernel refused",
        "customer",
    ),
    Row(
        "cloud silent",
        replace(GOOD, sessions=(ACTIVE,), probes=(SILENT,)),
        "down",
        "neither pings nor TCP 179",
        "unknown",
    ),
    Row(
        "cloud silent on ARP",
        replace(GOOD, sessions=(ACTIVE,), probes=(replace(SILENT, neighbour=False),)),
        "down",
        f"BGP to {PEER} is Active for 35 s: {PEER} does not answer ARP: another address at the cloud, or a filter",
        "cloud",
    ),
    Row(
        "wrong VLAN at the cloud",
        replace(
            GOOD,
            link=replace(LINK, vlan=101, silent=42),
            sessions=(ACTIVE,),
            probes=(replace(SILENT, neighbour=False),),
        ),
        "down",
        "no frame is received on VLAN 101 (eth1.101) for 42 s: another VLAN at the cloud",
        "cloud",
    ),
    Row(
        "wrong VLAN at the cloud, its ARP entry still believed",
        replace(
            GOOD,
            link=replace(LINK, vlan=101, silent=12),
            sessions=(ACTIVE,),
            probes=(replace(ANSWERS, lost_in_a_row=11),),
        ),
        "down",
        "no frame is received on VLAN 101",
        "cloud",
    ),
    Row(
        "a wrong MD5 password at the cloud",
        replace(GOOD, sessions=(replace(ACTIVE, digest="wrong", last_reset=SENT + "Cease/Hold Timer Expired"),)),
        "down",
        "has a wrong MD5 digest: another password is set there",
        "cloud",
    ),
    Row(
        "no MD5 password at the cloud",
        replace(GOOD, sessions=(replace(ACTIVE, digest="missing"),)),
        "down",
        "has no MD5 digest: no password is set there",
        "cloud",
    ),
    Row(
        "the cloud expects another customer ASN",
        replace(GOOD, sessions=(replace(ACTIVE, last_reset=RECEIVED + "OPEN Message Error/Bad Peer AS"),)),
        "down",
        "the cloud refuses our AS 65010: another customer ASN is set there (last reset: BGP Notification received",
        "cloud",
    ),
    Row(
        "the cloud comes with another ASN",
        replace(GOOD, sessions=(replace(ACTIVE, last_reset=SENT + "OPEN Message Error/Bad Peer AS"),)),
        "down",
        "does not use the ordered AS 64512",
        "cloud",
    ),
    Row(
        "the cloud's prefix cap exceeded",
        replace(GOOD, sessions=(replace(ACTIVE, last_reset=RECEIVED + "Cease/Maximum Number of Prefixes Reached"),)),
        "down",
        "we announce more prefixes than the cloud accepts",
        "customer",
    ),
    Row(
        "our prefix cap exceeded",
        replace(GOOD, sessions=(replace(ACTIVE, last_reset=SENT + "Cease/Maximum Number of Prefixes Reached"),)),
        "down",
        "the cloud announces more prefixes than the order's receive_limit",
        "cloud",
    ),
    Row(
        "shut down at the cloud",
        replace(GOOD, sessions=(replace(ACTIVE, last_reset=RECEIVED + "Cease/Administrative Shutdown"),)),
        "down",
        "the cloud has shut the session down",
        "cloud",
    ),
    Row(
        "removed at the cloud, and not answering since",
        replace(GOOD, sessions=(replace(ACTIVE, state="Connect", last_reset=RECEIVED + "Cease/Peer De-configured"),)),
        "down",
        "the cloud has removed the session, and does not answer on TCP 179 since: if it is back, with another password "
        "or TTL, or behind a filter",
        "cloud",
    ),
    Row(
        "shut down at the cloud, and not answering since",
        replace(GOOD, sessions=(replace(ACTIVE, state="Connect", last_reset=SHUT),)),
        "down",
        "Connect for 35 s: the cloud has shut the session down, and does not answer on TCP 179 since",
        "cloud",
    ),
    Row(
        "the cloud's prefix cap exceeded, and its password forgotten with the session",
        replace(
            GOOD,
            sessions=(
                replace(ACTIVE, digest="missing", last_reset=RECEIVED + "Cease/Maximum Number of Prefixes Reached"),
            ),
        ),
        "down",
        "we announce more prefixes than the cloud accepts",
        "customer",
    ),
    Row(
        "removed at the cloud, and back without a password",
        replace(GOOD, sessions=(replace(ACTIVE, digest="missing", last_reset=RECEIVED + "Cease/Peer De-configured"),)),
        "down",
        "no password is set there",
        "cloud",
    ),
    Row(
        "shut down at the cloud, and back with another password",
        replace(GOOD, sessions=(replace(ACTIVE, digest="wrong", last_reset=SHUT),)),
        "down",
        "another password is set there",
        "cloud",
    ),
    Row(
        "rejected by the cloud",
        replace(GOOD, sessions=(replace(ACTIVE, last_reset=RECEIVED + "Cease/Connection Rejected"),)),
        "down",
        "the cloud rejects the session (last reset: ",
        "cloud",
    ),
    Row(
        "the cloud does not like a part of our OPEN",
        replace(GOOD, sessions=(replace(ACTIVE, last_reset=RECEIVED + "OPEN Message Error/Unacceptable Hold Time"),)),
        "down",
        "the cloud refuses our OPEN (last reset: BGP Notification received: OPEN Message Error/Unacceptable Hold Time)",
        "cloud",
    ),
    Row(
        "what the cloud's operator writes is not taken for FRR's words",
        replace(GOOD, sessions=(replace(ACTIVE, last_reset=SHUT + ": Maximum Number of Prefixes: BFD down"),)),
        "down",
        "the cloud has shut the session down",
        "cloud",
    ),
    Row(
        "shut down at the cloud, then the path died",
        replace(
            GOOD,
            link=replace(LINK, vlan=101, silent=42),
            sessions=(replace(ACTIVE, last_reset=SHUT),),
            probes=(replace(SILENT, neighbour=False),),
        ),
        "down",
        "nothing configured there; before, the cloud has shut the session down",
        "cloud",
    ),
    Row(
        "ended by the cloud a moment ago, for a reason that names no fault",
        replace(GOOD, sessions=(replace(ACTIVE, state="Idle", duration=1, lost=1, last_reset=RESET),)),
        "down",
        "is Idle for 1 s: the cloud has closed the session, and FRR is about to try again (last reset: ",
        "unknown",
    ),
    Row(
        "ended by the cloud for a reason that names no fault, and not answering since",
        replace(GOOD, sessions=(replace(ACTIVE, last_reset=RESET),)),
        "down",
        "or no session configured there; before, the cloud has closed the session (BGP Notification received: Cease",
        "cloud",
    ),
    Row(
        "BFD down a moment ago",
        replace(GOOD, sessions=(replace(ACTIVE, state="Idle", duration=1, lost=1, bfd="down", last_reset=BFD_DOWN),)),
        "down",
        "is Idle for 1 s: BFD went down, and FRR is about to try again (last reset: BFD down received)",
        "unknown",
    ),
    Row(
        "an FRR that does not try while BFD is down",
        replace(GOOD, frr_version="10.3", sessions=(KEPT,)),
        "down",
        "is Idle for 35 s: FRR 10.3 sets up no session while BFD is not up, and BFD is down, though the cloud answers",
        "customer",
    ),
    Row(
        "an FRR of an unknown version that does not try while BFD is down",
        replace(GOOD, sessions=(replace(KEPT, last_reset=SENT + "Cease/BFD Down"),), probes=()),
        "down",
        "Idle for 35 s: this FRR sets up no session while BFD is not up, and BFD is down",
        "customer",
    ),
    Row(
        "an FRR that does not try while bfdd is away",
        replace(GOOD, frr_version="10.3", sessions=(replace(KEPT, bfd=None, bfd_detection_ordered_ms=900),)),
        "down",
        "FRR 10.3 sets up no session while BFD is not up, and bfdd does not answer",
        "customer",
    ),
    Row(
        "an FRR that does not try while BFD is down, on a dead path",
        replace(GOOD, frr_version="10.3", sessions=(KEPT,), probes=(SILENT,)),
        "down",
        "the cloud answers no pings, and FRR 10.3 sets up no session while BFD is not up",
        "unknown",
    ),
    Row(
        "an FRR that does not try while BFD is down, after the cloud has shut the session down",
        replace(GOOD, frr_version="10.3", sessions=(replace(KEPT, last_reset=SHUT),)),
        "down",
        "the cloud has shut the session down; FRR 10.3 does not try again while BFD is down (last reset: ",
        "cloud",
    ),
    Row(
        "our prefix cap exceeded, BFD down besides",
        replace(GOOD, sessions=(replace(KEPT, last_reset=SENT + "Cease/Maximum Number of Prefixes Reached"),)),
        "down",
        "than the order's receive_limit (last reset: ",
        "cloud",
    ),
    Row(
        "Idle though BFD is up",
        replace(GOOD, sessions=(replace(KEPT, bfd="up"),)),
        "down",
        "does not answer on TCP 179",
        "cloud",
    ),
    Row(
        "new, and waiting for BFD",
        replace(GOOD, was_up=False, sessions=(replace(KEPT, duration=2),)),
        "pending",
        "coming up (Idle)",
        "customer",
    ),
    Row(
        "no OPEN", replace(GOOD, sessions=(replace(ACTIVE, state="OpenSent"),)), "down", "sends no valid OPEN", "cloud"
    ),
    Row(
        "ttl_security that the cloud does not speak",
        replace(GOOD, sessions=(replace(ACTIVE, state="OpenSent", ttl_security=True),)),
        "down",
        "sends no valid OPEN; `ttl_security` is ordered, so what it sends with a TTL below 255 is dropped",
        "cloud",
    ),
    Row(
        "session shut here",
        replace(GOOD, sessions=(replace(ACTIVE, admin_shutdown=True),)),
        "down",
        "shut down on this",
        "customer",
    ),
    Row(
        "the cloud's BFD is slower",
        replace(GOOD, sessions=(replace(UP, bfd="up", bfd_detection_ms=6000, bfd_detection_ordered_ms=900),)),
        "degraded",
        "takes 6000 ms to detect a failure, not 900 ms as ordered",
        "cloud",
    ),
    Row(
        "the cloud's BFD is as fast as ordered",
        replace(GOOD, sessions=(replace(UP, bfd="up", bfd_detection_ms=900, bfd_detection_ordered_ms=900),)),
        "up",
        "as ordered",
        "unknown",
    ),
    Row(
        "session on its way",
        replace(GOOD, sessions=(replace(ACTIVE, duration=2),)),
        "pending",
        "coming up (Active)",
        "cloud",
    ),
    Row(
        "session on its way, as FRR words it that was never up",
        replace(GOOD, sessions=(replace(ACTIVE, duration=2, last_reset="No AFI/SAFI activated for peer"),)),
        "pending",
        "coming up (Active)",
        "cloud",
    ),
    Row(
        "session that is refused over and over, just up again",
        replace(
            GOOD,
            sessions=(
                replace(UP, duration=1, lost=3, last_reset=RECEIVED + "Cease/Maximum Number of Prefixes Reached"),
            ),
        ),
        "down",
        "we announce more prefixes than the cloud accepts",
        "customer",
    ),
    Row(
        "session that was refused for what we announce, and has not announced it again yet",
        replace(
            GOOD,
            sessions=(
                replace(
                    UP,
                    duration=12,
                    advertise_ordered=True,
                    advertised=0,
                    last_reset=RECEIVED + "Cease/Maximum Number of Prefixes Reached",
                ),
            ),
        ),
        "down",
        "we announce more prefixes than the cloud accepts",
        "customer",
    ),
    Row(
        "session that has just come up",
        replace(GOOD, sessions=(replace(UP, duration=2, received=0),)),
        "degraded",
        "has just come up and is still exchanging prefixes",
        "unknown",
    ),
    Row(
        "session that was refused long ago",
        replace(GOOD, sessions=(replace(UP, last_reset=RECEIVED + "Cease/Maximum Number of Prefixes Reached"),)),
        "up",
        "as ordered",
        "unknown",
    ),
    Row(
        "session just lost",
        replace(GOOD, sessions=(replace(ACTIVE, duration=2, lost=1),)),
        "down",
        "does not answer on TCP 179",
        "cloud",
    ),
    Row(
        "session dropped while it was being set up",
        replace(GOOD, was_up=False, sessions=(replace(ACTIVE, duration=2, lost=1),)),
        "pending",
        "coming up (Active)",
        "cloud",
    ),
    Row(
        "pings lost while the session was down",
        replace(GOOD, sessions=(replace(UP, duration=20, bfd="up"),), probes=(replace(ANSWERS, lost=30, span=64),)),
        "up",
        "as ordered",
        "unknown",
    ),
    Row(
        "session refused at once",
        replace(GOOD, sessions=(replace(ACTIVE, duration=2, last_reset=RECEIVED + "OPEN Message Error/Bad Peer AS"),)),
        "down",
        "another customer ASN",
        "cloud",
    ),
    Row(
        "one family of two",
        replace(GOOD, sessions=(UP, replace(ACTIVE, peer="2001:db8::1", family="ipv6"))),
        "degraded",
        "BGP to 2001:db8::1 is Active",
        "cloud",
    ),
    Row("BFD off at the cloud", replace(GOOD, sessions=(replace(UP, bfd="down"),)), "degraded", "BFD to", "cloud"),
    Row(
        "nothing announced to us",
        replace(GOOD, sessions=(replace(UP, received=0),)),
        "degraded",
        "announces no prefix",
        "unknown",
    ),
    Row(
        "nothing announced by us",
        replace(GOOD, sessions=(replace(UP, advertised=0),)),
        "degraded",
        "`advertise`",
        "customer",
    ),
    Row(
        "nothing ordered to be announced",
        replace(GOOD, sessions=(replace(UP, advertised=0, advertise_ordered=False),)),
        "up",
        "as ordered",
        "unknown",
    ),
    Row(
        "carries traffic, shaper refused",
        replace(GOOD, failing=("create shaper: No such file",)),
        "degraded",
        "shaper",
        "customer",
    ),
    Row(
        "a port slower than ordered",
        replace(GOOD, port=SLOW),
        "degraded",
        "port eth1 runs at 1G; 10G are ordered on fra-1",
        "unknown",
    ),
    Row(
        "a bond one of whose members is slower",
        replace(
            GOOD, port=replace(SLOW, name="bond0", members=(MEMBER,), speed_bps=11_000_000_000, ordered_bps=2 * TEN_G)
        ),
        "degraded",
        "the members of bond0 that carry traffic have 11G together; 20G are ordered on fra-1",
        "unknown",
    ),
    Row(
        "half duplex",
        replace(GOOD, port=replace(PORT, half_duplex=True)),
        "degraded",
        "port eth1 runs at half duplex",
        "unknown",
    ),
    Row("a port as fast as ordered", replace(GOOD, port=replace(SLOW, speed_bps=TEN_G)), "up", "as ordered", "unknown"),
    Row(
        "loss under load on a port slower than ordered, which is not the cloud's",
        replace(GOOD, port=SLOW, load=LoadFacts(0.4, 0.0, 900e6, outward=True)),
        "degraded",
        "port eth1 runs at 1G",
        "unknown",
    ),
    Row(
        "no prefixes, by a port slower than ordered",
        replace(GOOD, port=SLOW, sessions=(replace(UP, received=0),)),
        "degraded",
        "announces no prefix",
        "unknown",
    ),
    Row("loss", replace(GOOD, probes=(replace(ANSWERS, lost=7),)), "degraded", "11% of the pings", "unknown"),
    Row(
        "ICMP policed while BFD is clean",
        replace(GOOD, sessions=(replace(UP, bfd="up"),), probes=(replace(ANSWERS, lost=30),)),
        "up",
        "BFD loses none: policed ICMP",
        "cloud",
    ),
    Row("ICMP filtered while BGP lives", replace(GOOD, probes=(SILENT,)), "up", "filtered ICMP", "cloud"),
    Row(
        "policed below the order",
        replace(
            GOOD,
            ordered_bps=50_000_000,
            sessions=(replace(UP, bfd="up"),),
            probes=(replace(ANSWERS, lost=30),),
            load=LoadFacts(busy_loss=0.4, quiet_loss=0.0, busy_bps=38_000_000, outward=True),
        ),
        "degraded",
        "40% of the pings are lost while 38M of the ordered 50M go out, none of them when it is quiet",
        "cloud",
    ),
    Row(
        "full-size packets that vanish under load",
        replace(
            GOOD,
            busy=True,
            ordered_bps=50_000_000,
            probes=(replace(ANSWERS, full_size=False, mtu=1500),),
            load=LoadFacts(0.25, 0.0, 30_000_000, outward=True, full_size_loss=0.7),
        ),
        "degraded",
        "25% of the pings are lost while 30M of the ordered 50M go out",
        "cloud",
    ),
    Row(
        "full-size packets of which none gets through, under load too",
        replace(
            GOOD,
            busy=True,
            ordered_bps=50_000_000,
            probes=(replace(ANSWERS, full_size=False, mtu=1500),),
            load=LoadFacts(0.33, 0.0, 30_000_000, outward=True, full_size_loss=1.0),
        ),
        "degraded",
        "packets of 1500 bytes do not get through",
        "cloud",
    ),
    Row(
        "full-size packets that vanish like all others, as ICMP is policed",
        replace(
            GOOD,
            sessions=(replace(UP, bfd="up"),),
            probes=(replace(ANSWERS, lost=30, full_size=False, mtu=1500),),
        ),
        "up",
        "policed ICMP",
        "cloud",
    ),
    Row(
        "loss that does not care about load",
        replace(
            GOOD,
            probes=(replace(ANSWERS, lost=30),),
            load=LoadFacts(busy_loss=0.4, quiet_loss=0.5, busy_bps=38_000_000, outward=True),
        ),
        "degraded",
        "47% of the pings to",
        "unknown",
    ),
    Row(
        "full-size packets vanish",
        replace(GOOD, probes=(replace(ANSWERS, full_size=False, mtu=1500),)),
        "degraded",
        "packets of 1500 bytes do not get through",
        "cloud",
    ),
    Row(
        "one LACP member without light",
        replace(GOOD, port=replace(BOND, members=(MEMBER, replace(MEMBER, name="eth3", carrier=False)))),
        "degraded",
        "1 of the 2 members of bond0 carry traffic: eth3 has no carrier",
        "line",
    ),
    Row(
        "one LACP member without a partner",
        replace(GOOD, port=replace(BOND, members=(MEMBER, replace(MEMBER, name="eth3", partner=False)))),
        "degraded",
        "the cloud does not speak LACP on eth3",
        "cloud",
    ),
    Row(
        "one LACP member left out by the cloud",
        replace(GOOD, port=replace(BOND, members=(MEMBER, replace(MEMBER, name="eth3", in_use=False)))),
        "degraded",
        "the cloud does not aggregate eth3 into its bundle",
        "cloud",
    ),
    Row(
        "one LACP member set down here",
        replace(GOOD, port=replace(BOND, members=(MEMBER, replace(MEMBER, name="eth3", admin_up=False)))),
        "degraded",
        "eth3 is set down on this router",
        "customer",
    ),
    Row(
        "no LACP at the cloud",
        replace(GOOD, port=replace(BOND, members=(replace(MEMBER, partner=False),)), sessions=(ACTIVE,)),
        "down",
        "the cloud does not speak LACP on any member of bond0",
        "cloud",
    ),
    Row(
        "every LACP member dark",
        replace(GOOD, port=replace(BOND, carrier=False, members=(replace(MEMBER, carrier=False),))),
        "down",
        "bond bond0 has no carrier: eth2 has no carrier",
        "line",
    ),
    Row(
        "no light",
        replace(GOOD, port=replace(PORT, carrier=False, light=LightFacts(-40.0, -2.0, -14.0, -10.0))),
        "down",
        "no carrier and no light: -40.0 dBm",
        "line",
    ),
    Row(
        "light but no carrier",
        replace(GOOD, port=replace(PORT, carrier=False, light=LightFacts(-3.0, -2.0, -14.0, -10.0))),
        "down",
        "no carrier though -3.0 dBm of light come in",
        "unknown",
    ),
    Row(
        "weak light",
        replace(GOOD, port=replace(PORT, light=LightFacts(-15.2, -2.0, -14.0, -10.0))),
        "degraded",
        "only -15.2 dBm of light come in at eth1 (alarm below -14.0 dBm)",
        "line",
    ),
    Row(
        "weak laser",
        replace(GOOD, port=replace(PORT, light=LightFacts(-3.0, -12.5, -14.0, -10.0))),
        "degraded",
        "the transceiver of eth1 sends only -12.5 dBm",
        "customer",
    ),
    Row(
        "one lost ping of few",
        replace(GOOD, probes=(replace(ANSWERS, probes=3, lost=1),)),
        "up",
        "as ordered",
        "unknown",
    ),
    Row("static and sound", STATIC, "up", "as ordered", "unknown"),
    Row("static without FRR", replace(STATIC, frr_available=False), "up", "as ordered", "unknown"),
    Row("static, silent", replace(STATIC, probes=(SILENT,)), "down", "answers no pings", "unknown"),
    Row(
        "static, silent on ARP",
        replace(STATIC, probes=(replace(SILENT, neighbour=False),)),
        "down",
        "does not answer ARP",
        "cloud",
    ),
    Row(
        "silent on ARP while BGP still believes itself up",
        replace(GOOD, probes=(replace(SILENT, neighbour=False),)),
        "down",
        "does not answer ARP",
        "cloud",
    ),
    Row(
        "one family of two silent on ND",
        replace(GOOD, probes=(ANSWERS, replace(SILENT, destination="2001:db8::1", family="ipv6", neighbour=False))),
        "degraded",
        "2001:db8::1 does not answer neighbour discovery",
        "cloud",
    ),
    Row(
        "static, ICMP filtered",
        replace(STATIC, probes=(replace(SILENT, neighbour=True),)),
        "degraded",
        "answers ARP",
        "cloud",
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.case)
def test_the_verdict_names_what_is_wrong_and_on_whose_side(row: Row) -> None:
    verdict = judge(row.facts)
    assert (verdict.state, verdict.side) == (row.state, row.side), verdict.reason
    assert row.says in verdict.reason


@pytest.mark.parametrize("direction", [RECEIVED, SENT])
@pytest.mark.parametrize(
    "notification",
    [
        "OPEN Message Error/Bad Peer AS",
        "OPEN Message Error/Unsupported Capability",
        "Cease/Maximum Number of Prefixes Reached",
        "Cease/Administrative Shutdown",
        "Cease/Peer De-configured",
        "Cease/Connection Rejected",
        "Cease/Out of Resources",
    ],
)
def test_a_session_that_is_up_again_is_not_said_to_be_what_ended_it_before(direction: str, notification: str) -> None:
    verdict = judge(replace(GOOD, sessions=(replace(UP, duration=2, lost=1, last_reset=direction + notification),)))
    assert verdict.state == "down", "it may be refused again"
    assert f"BGP to {PEER} is Established for 2 s, but was closed before: " in verdict.reason


def test_the_lowest_broken_layer_is_the_one_that_is_named() -> None:
    everything = replace(
        GOOD, port=replace(PORT, carrier=False), frr_available=False, sessions=(ACTIVE,), probes=(SILENT,)
    )
    assert judge(everything).layer == "carrier"
