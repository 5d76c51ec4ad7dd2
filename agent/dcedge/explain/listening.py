"""One look at a port by ear: a capture runs while ARP, pings and TCP are tried."""

from __future__ import annotations

import secrets
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from dcedge.explain.active_checks import ProbePath, check_path, send_syn
from dcedge.explain.capture import Listener, TcpHeard, Watched
from dcedge.explain.evidence import Capture, PathCheck, TcpCheck
from dcedge.explain.port_capture import PortCapture
from dcedge.explain.solicitation import hardware_address, send_solicitation
from dcedge.kernel.naming import interface_link
from dcedge.order.credentials import Secret
from dcedge.order.resolve import ResolvedInterface, Session

LISTENING_SECONDS, LISTENING_SECONDS_MAX = 3.0, 6.5  # at least; and at most, while nothing names the fault
_ANSWER_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class ListeningResult:
    """What came of it. `answered` are the addresses that answered ARP or ND, `hardware` who uses which."""

    paths: tuple[PathCheck, ...]
    tcp: Mapping[str, TcpCheck]
    capture: Capture
    answered: frozenset[str]
    hardware: Mapping[str, str]


def listen(
    interface: ResolvedInterface,
    known_tags: frozenset[tuple[int, ...]],
    lacking: Collection[str],
    keys: Mapping[str, Secret],
    before: tuple[PathCheck, ...],
) -> ListeningResult:
    """Listen, ask, and put both together.

    `lacking`: the peers whose session is not up, whose TCP is tried. `keys`: the ordered passwords by peer. `before`:
    the paths as they were found without listening. OSError, CaptureError: the port cannot be listened to.
    """
    link = interface_link(interface)
    sessions = [session for session in interface.sessions if str(session.cloud) in lacking]
    base = 33000 + secrets.randbelow(20000)
    ports = {str(session.cloud): base + 2 * number for number, session in enumerate(sessions)}
    listener = Listener(
        tags=tuple(tag.vlan_id for tag in interface.tags),
        known_tags=known_tags,
        ours=_own_hardware(interface.port, link),
        watched={
            str(pair.cloud): Watched(pair.customer.ip, pair.cloud, keys.get(str(pair.cloud)))
            for pair in interface.addresses
        },
        identifier=secrets.randbits(16),
        ports=frozenset(port + offset for port in ports.values() for offset in (0, 1)),
    )
    with PortCapture(interface.port, listener) as capture:
        for pair in interface.addresses:
            send_solicitation(link, pair.customer.ip, pair.cloud)
        capture.listen(time.monotonic() + _ANSWER_SECONDS / 2)
        paths = []
        for pair, was in zip(interface.addresses, before, strict=True):
            now = was
            if not was.received:
                again = check_path(
                    ProbePath(pair.family, link, pair.customer.ip, pair.cloud), interface.mtu, listener.identifier
                )
                now = replace(again, sent=was.sent + again.sent)
            paths.append(now)
        refused = {str(session.cloud): _try_tcp(session, link, ports[str(session.cloud)], keys) for session in sessions}
        capture.listen(max(capture.started + LISTENING_SECONDS, time.monotonic() + _ANSWER_SECONDS))
        capture.listen(capture.started + LISTENING_SECONDS_MAX, conclusive=True)
        heard = listener.capture(time.monotonic() - capture.started)
    return ListeningResult(
        paths=tuple(paths),
        tcp={
            peer: _tcp_check(listener.tcp.get(peer, TcpHeard()), port, signed=peer in keys, refused=refused[peer])
            for peer, port in ports.items()
        },
        capture=heard,
        answered=frozenset(listener.answered),
        hardware=listener.neighbours,
    )


def _try_tcp(session: Session, link: str, port: int, keys: Mapping[str, Secret]) -> bool:
    """Send a SYN with the ordered password, where there is one, and one without; whether this router forbade it."""
    secret = keys.get(str(session.cloud))
    refusals = [send_syn(session, link, port, secret)] if secret is not None else []
    refusals.append(send_syn(session, link, port + 1, None))
    return all(refusal is not None for refusal in refusals)


def _tcp_check(heard: TcpHeard, port: int, *, signed: bool, refused: bool) -> TcpCheck:
    return TcpCheck(
        signed=heard.answers.get(port, "silence") if signed else None,
        unsigned=heard.answers.get(port + 1, "silence"),
        left=not refused,
        digest=heard.digest,
        syns_received=heard.syns,
        # An answer that is taken is sent once. (To a signed SYN the peer repeats it: our RST bears no signature.)
        answered_unheard=any(count > 1 and not (signed and to == port) for to, count in heard.syn_acks.items()),
    )


def _own_hardware(*links: str) -> frozenset[str]:
    found = set()
    for link in links:
        with suppress(OSError):
            found.add(hardware_address(link).hex(":"))
    return frozenset(found)
