"""FRR, TCP, MD5, the OPENs and BFD: what it takes for a session to be up."""

from __future__ import annotations

from dcedge.explain.evidence import Evidence, OpenSeen, TcpCheck
from dcedge.explain.outcome import (
    FIREWALL,
    NO_SESSION,
    LayerOutcome,
    customer_of,
    failing,
    first_of,
    lacking,
    reset_evidence,
)
from dcedge.monitor.health.facts import DigestFault, SessionFacts
from dcedge.monitor.health.notifications import said_by_cloud
from dcedge.monitor.health.rules import bfd as bfd_rules
from dcedge.monitor.health.rules import session as session_rules
from dcedge.monitor.health.verdict import Verdict
from dcedge.units import counted


def frr(e: Evidence) -> LayerOutcome:
    """FRR is there, and has the sessions."""
    if not e.interface.sessions:
        return LayerOutcome("skipped", "static routes, no BGP")
    if not e.frr_asked:
        return LayerOutcome("unknown", "FRR could not be queried, so the state of the sessions is unknown")
    if (found := first_of(e.facts, session_rules.frr_absent, session_rules.sessions_missing)) is not None:
        advice = "Start FRR with bgpd (and bfdd where BFD is ordered); then `dcedge status` says whether it took all."
        return LayerOutcome("failed", found.reason, found.side, e.facts.failing, advice)
    return LayerOutcome("ok", "FRR answers and has the sessions")


def tcp(e: Evidence) -> LayerOutcome:
    """TCP 179 can be reached."""
    session = lacking(e)
    if session is None:
        return LayerOutcome("ok", "TCP 179 is connected") if e.facts.sessions else LayerOutcome("skipped", NO_SESSION)
    check = e.tcp.get(session.peer, TcpCheck())
    evidence = _tcp_evidence(session.peer, check)
    if not check.left or check.answered_unheard:
        where = "this router blocks its own TCP packets to port 179"
        if check.answered_unheard:
            where = f"{session.peer} answers on TCP 179, but a firewall on this router drops the answer"
        return LayerOutcome("failed", where, "customer", (*evidence, *e.foreign_firewall), FIREWALL)
    found = session_rules.why_not_established(e.facts, session)
    if session.peer in e.facts.astray:
        return failing(found, f"`ip route get {session.peer}` shows the way, {_way_back(e, session)}.", *evidence)
    known = e.daemon is not None and e.daemon.layer == "md5" and check.signed == "silence"
    if "accepted" in (check.signed, check.unsigned):
        return LayerOutcome("ok", f"{session.peer} accepts TCP on port 179", evidence=evidence)
    if found.layer not in {"tcp", "ping", "bfd"} or session.admin_shutdown or known:
        return LayerOutcome("ok", "TCP 179 is not the cause", evidence=evidence)
    if "refused" in (check.signed, check.unsigned):
        text = (
            f"BGP to {session.peer} is {session.state}: the cloud refuses TCP 179: no BGP session is configured there"
        )
        advice = f"Set up the BGP session with {session.peer}, its neighbour {customer_of(e, session)}."
        return LayerOutcome("failed", text, "cloud", evidence, advice)
    if found.layer == "bfd":
        if check.unsigned is None:
            return LayerOutcome("unknown", "not tested, and FRR does not try to connect either")
        found = Verdict("down", f"BGP to {session.peer} is {session.state}: {session_rules.UNANSWERED}", "tcp", "cloud")
    advice = (
        f"Check filters on TCP 179 between {customer_of(e, session)} and {session.peer}, that the "
        "session exists there, and its MD5 password: with a wrong one there is no answer either."
    )
    return failing(found, advice, *evidence)


def _way_back(e: Evidence, session: SessionFacts) -> str:
    if e.facts.astray[session.peer] is not None:
        return "`ip rule` and `ip route show table all` what leads there"
    network = next(pair.customer.network for pair in e.interface.addresses if str(pair.cloud) == session.peer)
    vrf = f" vrf {e.interface.vrf}" if e.interface.vrf is not None else ""
    return f"`ip route add {network} dev {e.facts.link.name}{vrf} proto kernel` puts it back"


def _tcp_evidence(peer: str, check: TcpCheck) -> tuple[str, ...]:
    words = {
        "accepted": "SYN-ACK",
        "refused": "RST",
        "prohibited": "ICMP: prohibited",
        "silence": "nothing",
    }
    evidence = []
    if check.signed is not None:
        evidence.append(f"a SYN to {peer}:179 with the ordered MD5 password gets: {words[check.signed]}")
    if check.unsigned is not None:
        evidence.append(f"a SYN to {peer}:179 without MD5 gets: {words[check.unsigned]}")
    if check.syns_received:
        evidence.append(f"{counted(check.syns_received, 'SYN')} came in from {peer}")
    return tuple(evidence)


_ADVICE_DIGESTS: dict[DigestFault, str] = {
    "missing": "Set the BGP (MD5) password on your side; we will agree on it outside of this ticket.",
    "wrong": "Set the BGP (MD5) password again; we do the same in this router's credential. A trailing blank "
    "makes another password.",
    "unexpected": "Remove the BGP (MD5) password. (Or here: order it, as `bgp.password`.)",
}


def md5(e: Evidence) -> LayerOutcome:
    """The MD5 digests are those of the ordered password."""
    session = lacking(e)
    if session is None:
        return LayerOutcome("ok", "every session is up") if e.facts.sessions else LayerOutcome("skipped", NO_SESSION)
    ordered = next((s for s in e.interface.sessions if str(s.cloud) == session.peer), None)
    check = e.tcp.get(session.peer, TcpCheck())
    evidence = _tcp_evidence(session.peer, check)
    if session.admin_shutdown:
        return LayerOutcome("skipped", "the session is shut down on this router")
    if session.state == "Established":
        return LayerOutcome("ok", f"{session.peer} exchanges BGP messages with this router")
    if session.digest is not None:  # seen in the cloud's own SYN, just now
        text = f"BGP to {session.peer} is {session.state}: {session_rules.DIGESTS[session.digest]}"
        return LayerOutcome("failed", text, "cloud", evidence, _ADVICE_DIGESTS[session.digest])
    unsigned_only = check.signed == "silence" and check.unsigned in {"accepted", "refused"}
    if unsigned_only and not said_by_cloud(session.last_reset):
        text = f"BGP to {session.peer} is {session.state}: {session_rules.DIGESTS['missing']}"
        return LayerOutcome("failed", text, "cloud", evidence, _ADVICE_DIGESTS["missing"])
    if check.signed == "silence" and e.daemon is not None and e.daemon.layer == "md5":
        return LayerOutcome("failed", e.daemon.reason, e.daemon.side, evidence, _ADVICE_DIGESTS["wrong"])
    if unsigned_only:  # a cloud that has ended a session may forget its password with it
        text = "no answer to the ordered password, and none is expected after the cloud's notification"
        return LayerOutcome("unknown", text, evidence=(*evidence, *reset_evidence(session)))
    if ordered is not None and ordered.password is None:
        return LayerOutcome("skipped", "no password is ordered")
    if check.signed == "accepted":
        return LayerOutcome("ok", f"{session.peer} accepts the ordered password")
    return LayerOutcome("unknown", "nothing was received that would show it")


def opened(e: Evidence) -> LayerOutcome:
    """The two OPENs agree: ASNs, capabilities."""
    session = lacking(e)
    if session is None:
        return (
            LayerOutcome("ok", "every session is established")
            if e.facts.sessions
            else LayerOutcome("skipped", NO_SESSION)
        )
    opened = e.capture.opens.get(session.peer) if e.capture is not None else None
    evidence = _open_evidence(session.peer, opened)
    if opened is not None and session.cloud_asn is not None and opened.asn != session.cloud_asn:
        text = f"the cloud comes with AS {opened.asn}, ordered is AS {session.cloud_asn}"
        advice = f"Set AS {session.cloud_asn} on your side. (Or here: put AS {opened.asn} into the order.)"
        return LayerOutcome("failed", text, "cloud", evidence, advice)
    found = session_rules.why_not_established(e.facts, session)
    if found.layer == "open":
        advice = (
            f"Check the session with {customer_of(e, session)}: customer AS {session.customer_asn}, "
            f"cloud AS {session.cloud_asn}, address family {session.family}."
        )
        return failing(found, advice, *evidence, *reset_evidence(session))
    if found.layer == "bgp":
        advice = "Tell us why the session is shut down on your side: maintenance?"
        if found.side == "customer":
            advice = "The session is shut down on this router: `dcedge status` and FRR's configuration show by whom."
        return failing(found, advice, *evidence, *reset_evidence(session))
    if found.layer == "prefixes":
        return LayerOutcome("ok", "the session is established, and closed again", evidence=evidence)
    if found.layer == "bfd" or bfd_rules.kept_by_bfd(session):
        return LayerOutcome("unknown", "FRR does not try to connect now")
    # It is down and no layer below has shown why.
    return LayerOutcome("failed", found.reason, found.side, (*evidence, *reset_evidence(session)), _UNCLEAR)


_UNCLEAR = "Check your BGP log for this session while we try again."


def _open_evidence(peer: str, opened: OpenSeen | None) -> tuple[str, ...]:
    if opened is None:
        return ()
    families = f", families {', '.join(opened.families)}" if opened.families else ""
    return (f"{peer} sent an OPEN: AS {opened.asn}, hold time {opened.hold} s, router ID {opened.router_id}{families}",)


def bfd(e: Evidence) -> LayerOutcome:
    """BFD is up where it is ordered."""
    if not any(session.bfd is not None for session in e.facts.sessions):
        return LayerOutcome("skipped", "no BFD is ordered")
    if (found := bfd_rules.bfd_down(e.facts)) is not None and lacking(e) is None:
        ordered = next((s.bfd for s in e.interface.sessions if s.bfd is not None), None)
        timers = f"{ordered.interval * 1000:.0f} ms × {ordered.multiplier}" if ordered is not None else "its timers"
        advice = f"Enable BFD ({timers}), or tell us that it is not supported: until then failures are detected late."
        return failing(found, advice, "BGP is established, so the path works")
    session = lacking(e)
    if session is None:
        return LayerOutcome("ok", "BFD is up")
    cause = session_rules.why_not_established(e.facts, session)
    if bfd_rules.kept_by_bfd(session):
        advice = (
            "Check that the daemon runs (`dcedge run`): it brings the session up without BFD, and adds BFD then. Else "
            "order `bfd: false` until the cloud enables BFD, or install an FRR that does not wait for BFD (8.4, 10.7)."
        )
        return failing(cause, advice, *reset_evidence(session))
    if cause.layer == "bfd":
        return failing(cause, "Check again in a few seconds. If it persists, packets are lost on the path.")
    return LayerOutcome("unknown", "BGP is not established yet")
