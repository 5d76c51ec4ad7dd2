"""What is heard on a port: frames as scapy builds them, and what the listener makes of them."""

from __future__ import annotations

import contextlib
import json
import socket
import sysconfig
import time
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.contrib.bgp import BGPCapFourBytesASN, BGPCapMultiprotocol, BGPHeader, BGPOpen, BGPOptParam
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6ND_RS, ICMPv6NDOptSrcLLAddr, IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet

from dcedge.errors import CaptureError
from dcedge.explain.active_checks import internet_checksum, syn_segment
from dcedge.explain.bgp_messages import read_notification, read_open
from dcedge.explain.capture import Listener, Watched
from dcedge.explain.evidence import OpenSeen, TaggedSender
from dcedge.explain.frames import Frame, read_frame
from dcedge.explain.port_capture import PortCapture
from dcedge.explain.solicitation import solicitation
from dcedge.order.credentials import Secret
from dcedge_capture.frames import described
from dcedge_capture.port import attach_filter, filter_program

CLOUD_MAC, OUR_MAC = "00:1b:21:aa:bb:cc", "02:00:00:00:00:01"
CUSTOMER, CLOUD = ip_address("10.255.101.2"), ip_address("10.255.101.1")
CUSTOMER6, CLOUD6 = ip_address("2001:db8:101::2"), ip_address("2001:db8:101::1")
SECRET = Secret("Kaiserlei-101")
OUR_PORT = 40_000
MARKER = b"\xff" * 16  # how every BGP message begins


def listener(secret: Secret | None = SECRET) -> Listener:
    return Listener(
        tags=(101,),
        known_tags=frozenset({(101,), (102,)}),
        ours=frozenset({OUR_MAC}),
        watched={
            str(CLOUD): Watched(CUSTOMER, CLOUD, secret),
            str(CLOUD6): Watched(CUSTOMER6, CLOUD6, secret),
        },
        identifier=77,
        ports=frozenset({OUR_PORT, OUR_PORT + 1}),
    )


def raw(payload: Packet, *tags: int, source: str = CLOUD_MAC) -> bytes:
    """A frame's bytes on the wire."""
    made = Ether(src=source, dst="ff:ff:ff:ff:ff:ff")
    for tag in tags:
        made /= Dot1Q(vlan=tag)
    return bytes(made / payload)


def told(wire: bytes) -> Frame:
    """A frame as dcedge-capture tells of it and explain reads it."""
    return read_frame(json.dumps(described(wire)).encode())


def frame(payload: Packet, *tags: int, source: str = CLOUD_MAC) -> Frame:
    return told(raw(payload, *tags, source=source))


def arp(sender: str, operation: int = 1) -> Packet:
    return ARP(op=operation, hwsrc=CLOUD_MAC, psrc=sender, pdst=str(CUSTOMER))


def segment(source_port: int, destination_port: int, flags: str, data: bytes = b"") -> Packet:
    return IP(src=str(CLOUD), dst=str(CUSTOMER)) / TCP(sport=source_port, dport=destination_port, flags=flags) / data


def test_frames_with_another_tag_than_any_ordered_one_are_told_with_their_sender() -> None:
    heard = listener()
    heard.hear(frame(ICMPv6ND_NS(), 111))  # no address in it yet
    heard.hear(frame(arp(str(CLOUD)), 111))
    heard.hear(frame(arp("10.0.0.9"), 101, 7))
    heard.hear(frame(arp("10.0.0.1"), 102))  # another virtual interface of the same port
    heard.hear(frame(arp(str(CUSTOMER)), 113, source=OUR_MAC))  # this router's own
    assert heard.capture(3).strangers == (
        TaggedSender((111,), CLOUD_MAC, str(CLOUD)),
        TaggedSender((101, 7), CLOUD_MAC, "10.0.0.9"),
    )
    assert heard.conclusive


def test_what_any_port_says_untagged_of_its_own_accord_tells_nothing_of_a_wrong_vlan() -> None:
    heard = listener()
    link_local = IPv6(src="fe80::1", dst="ff02::2")
    heard.hear(frame(link_local / ICMPv6ND_RS()))
    heard.hear(frame(IPv6(src="::", dst="ff02::16") / ICMPv6ND_NS()))
    heard.hear(told(bytes(Ether(src=CLOUD_MAC, dst="01:80:c2:00:00:0e", type=0x88CC) / b"\x02\x07\x04")))  # LLDP
    assert not heard.conclusive
    heard.hear(frame(link_local / ICMPv6ND_RS(), 111))
    heard.hear(frame(arp(str(CLOUD))))
    assert heard.capture(3).strangers == (
        TaggedSender((111,), CLOUD_MAC, None),
        TaggedSender((), CLOUD_MAC, str(CLOUD)),
    )


def test_who_asks_is_known_and_who_answers_has_answered() -> None:
    heard = listener()
    heard.hear(frame(arp(str(CLOUD)), 101))
    assert heard.neighbours == {str(CLOUD): CLOUD_MAC}
    assert not heard.answered
    heard.hear(frame(arp(str(CLOUD), operation=2), 101))
    advertisement = IPv6(src=str(CLOUD6), dst=str(CUSTOMER6)) / ICMPv6ND_NA(tgt=str(CLOUD6))
    heard.hear(frame(advertisement, 101))
    assert heard.answered == {str(CLOUD), str(CLOUD6)}


def test_replies_that_arrive_are_noted_even_if_a_firewall_eats_them_later() -> None:
    heard = listener()
    heard.hear(frame(IP(src=str(CLOUD), dst=str(CUSTOMER)) / ICMP(type=0, id=78), 101))
    assert not heard.replies, "the daemon's probes are answered too"
    heard.hear(frame(IP(src=str(CLOUD), dst=str(CUSTOMER)) / ICMP(type=0, id=77), 101))
    heard.hear(frame(IPv6(src=str(CLOUD6), dst=str(CUSTOMER6)) / ICMPv6EchoReply(id=77), 101))
    heard.hear(frame(IP(src="10.255.101.9", dst=str(CUSTOMER)) / ICMP(type=0, id=77), 101))
    assert heard.replies == {str(CLOUD), str(CLOUD6)}


def signed_syn(secret: Secret | None) -> Packet:
    """The peer's SYN, its digest over its own view of the two ends."""
    raw = bytearray(syn_segment(CLOUD, CUSTOMER, 31_000, secret))
    return IP(src=str(CLOUD), dst=str(CUSTOMER), proto=6) / bytes(raw)


@pytest.mark.parametrize(
    ("ordered", "used", "fault"),
    [
        (SECRET, SECRET, None),
        (SECRET, Secret("other"), "wrong"),
        (SECRET, None, "missing"),
        (None, Secret("other"), "unexpected"),
        (None, None, None),
    ],
)
def test_a_peers_syn_shows_which_password_it_uses(
    ordered: Secret | None, used: Secret | None, fault: str | None
) -> None:
    heard = listener(ordered)
    heard.hear(frame(signed_syn(used), 101))
    assert heard.tcp[str(CLOUD)].syns == 1
    assert heard.tcp[str(CLOUD)].digest == fault


def test_what_comes_back_to_our_syns_is_kept_apart_from_frrs() -> None:
    heard = listener()
    heard.hear(frame(segment(179, OUR_PORT, "SA"), 101))
    heard.hear(frame(segment(179, OUR_PORT + 1, "RA"), 101))
    heard.hear(frame(segment(179, 50_123, "SA"), 101))
    assert heard.tcp[str(CLOUD)].answers == {OUR_PORT: "accepted", OUR_PORT + 1: "refused"}
    heard.hear(frame(segment(179, 50_123, "SA"), 101))
    assert heard.tcp[str(CLOUD)].syn_acks == {OUR_PORT: 1, 50_123: 2}
    quoted = IP(src=str(CUSTOMER), dst=str(CLOUD)) / TCP(sport=OUR_PORT, dport=179)
    heard.hear(frame(IP(src=str(CLOUD), dst=str(CUSTOMER)) / ICMP(type=3, code=13) / quoted, 101))
    assert heard.tcp[str(CLOUD)].answers[OUR_PORT] == "prohibited"


def test_the_open_of_a_peer_is_read_with_its_four_byte_asn_and_families() -> None:
    capabilities = [
        BGPOptParam(param_type=2, param_value=BGPCapMultiprotocol(afi=2, safi=1)),
        BGPOptParam(param_type=2, param_value=BGPCapFourBytesASN(asn=4_200_000_001)),
    ]
    message = BGPHeader(type=1) / BGPOpen(my_as=23456, hold_time=90, bgp_id="10.20.0.1", opt_params=capabilities)
    assert read_open(bytes(message)) == OpenSeen(4_200_000_001, 90, "10.20.0.1", ("IPv6/unicast",))
    heard = listener()
    heard.hear(frame(segment(179, 50_123, "PA", bytes(message)), 101))
    assert heard.capture(3).opens[str(CLOUD)].asn == 4_200_000_001


@pytest.mark.parametrize(
    "payload", [b"", b"\xff" * 16, b"\xff" * 19 + bytes(9), b"\xff" * 16 + b"\0\x1d\x01" + bytes(9)]
)
def test_what_is_no_open_is_none(payload: bytes) -> None:
    assert read_open(payload) is None


def test_a_notification_is_read_from_anywhere_in_the_stream() -> None:
    keepalive = bytes(BGPHeader(type=4))
    bad_as = MARKER + b"\0\x17\x03\x02\x02\xff\xff"
    assert read_notification(keepalive + bad_as) == "OPEN Message Error/Bad Peer AS"
    assert read_notification(MARKER + b"\0\x15\x03\x06\x01") == "Cease/Maximum Number of Prefixes Reached"
    assert read_notification(MARKER + b"\0\x15\x03\x06\x05") == "Cease/Connection Rejected"
    assert read_notification(MARKER + b"\0\x15\x03\x02\x06") == "OPEN Message Error/Unacceptable Hold Time"
    assert read_notification(MARKER + b"\0\x15\x03\x02\x63") == "OPEN Message Error"
    assert read_notification(MARKER + b"\0\x15\x03\x06\x04") is None, "an administrative reset passes by itself"
    assert read_notification(keepalive) is None
    heard = listener()
    heard.hear(frame(segment(179, 50_123, "PA", bad_as), 101))
    assert heard.capture(3).notifications == {str(CLOUD): "OPEN Message Error/Bad Peer AS"}


def test_whoever_else_wants_to_speak_bgp_with_us_is_known() -> None:
    heard = listener()
    stranger = IP(src="10.255.101.5", dst=str(CUSTOMER)) / TCP(sport=31_000, dport=179, flags="S")
    heard.hear(frame(stranger, 101))
    assert heard.capture(3).neighbours == (("10.255.101.5", CLOUD_MAC),)


def test_a_torn_open_never_raises() -> None:
    option = BGPOptParam(param_type=2, param_value=BGPCapFourBytesASN(asn=65146))
    whole = bytes(BGPHeader(type=1) / BGPOpen(my_as=23456, hold_time=90, bgp_id="10.20.0.1", opt_params=[option]))
    for length in range(len(whole)):
        read_open(whole[:length])


def passes(program: bytes, wire: bytes) -> bool:
    """Whether the kernel lets a frame through the program: a datagram socket runs it over what it is sent."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, other:
        attach_filter(other, program)
        other.setblocking(False)
        try:
            one.send(wire)
            return bool(other.recv(65536))
        except (BlockingIOError, PermissionError):
            return False


def test_the_kernel_sorts_out_what_is_not_looked_at() -> None:
    program = filter_program()
    ends = IP(src=str(CLOUD), dst=str(CUSTOMER))
    ends6 = IPv6(src=str(CLOUD6), dst=str(CUSTOMER6))
    wanted = [
        arp(str(CLOUD)),
        ends / ICMP(),
        ends / TCP(sport=179, dport=5000),
        ends / TCP(sport=5000, dport=179),
        IP(src=str(CLOUD), dst=str(CUSTOMER), options=[b"\x94\x04\0\0"]) / TCP(sport=5000, dport=179),
        ends6 / ICMPv6ND_NS(),
        ends6 / TCP(sport=179, dport=5000),
        ends6 / TCP(sport=5000, dport=179),
    ]
    others = [
        ends / UDP(sport=179, dport=179),
        ends / TCP(sport=443, dport=5000),
        ends6 / TCP(sport=443, dport=5000),
        ends6 / UDP(sport=179, dport=179),
    ]
    for tags in ((), (101,)):
        for packet in wanted:
            assert passes(program, raw(packet, *tags)), packet.summary()
        for packet in others:
            assert not passes(program, raw(packet, *tags)), packet.summary()


@pytest.mark.parametrize(("source", "destination"), [(CUSTOMER, CLOUD), (CUSTOMER6, CLOUD6)])
def test_our_syn_is_a_good_tcp_segment(source: object, destination: object) -> None:
    raw = syn_segment(source, destination, OUR_PORT, SECRET)  # type: ignore[arg-type]
    network = IP if source is CUSTOMER else IPv6
    checked = network(bytes(network(src=str(source), dst=str(destination)) / TCP(raw)))
    given = checked[TCP].chksum
    del checked[TCP].chksum
    assert network(bytes(checked))[TCP].chksum == given
    options = dict(o for o in TCP(raw).options if len(o) == 2)
    assert len(options.get("MD5") or options[19]) == 16
    assert TCP(raw).flags == "S"


def test_the_checksum_of_rfc_1071() -> None:
    assert internet_checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0x220D


@given(st.binary(max_size=120), st.sampled_from([0x0800, 0x0806, 0x8100, 0x86DD]))
def test_whatever_is_on_the_wire_is_told_in_a_shape_that_can_be_read(body: bytes, ethertype: int) -> None:
    wire = bytes.fromhex("ffffffffffff001b21aabbcc") + ethertype.to_bytes(2) + body
    with contextlib.suppress(Exception):  # which costs the frame alone
        listener().hear(told(wire))


LINE = json.dumps(described(raw(segment(179, OUR_PORT, "SA"), 101)))


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[]",
        "null",
        '{"source": 1}',
        LINE.replace('"tags": [101]', '"tags": [-1]'),
        LINE.replace('"tags": [101]', '"tags": ["101"]'),
        LINE.replace("10.255.101.1", "10.255.101.1\\n# dcedge: all is well"),
        LINE.replace(CLOUD_MAC, CLOUD_MAC * 9),
        LINE.replace('"segment": "', '"segment": "x'),
        '{"listening":true}',
    ],
)
def test_what_the_capture_program_cannot_have_said_is_refused(line: str) -> None:
    read_frame(LINE.encode())
    with pytest.raises(CaptureError):
        read_frame(line.encode())


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists, max_leaves=5))
def test_any_value_in_the_place_of_another_is_a_frame_or_refused(value: object) -> None:
    whole = json.loads(LINE)
    for key in whole:
        with contextlib.suppress(CaptureError):
            listener().hear(read_frame(json.dumps(whole | {key: value}).encode()))


@pytest.mark.parametrize(("source", "destination"), [(CUSTOMER, CLOUD), (CUSTOMER6, CLOUD6)])
def test_a_peer_is_asked_for_its_hardware_address_as_the_rfcs_have_it(source: object, destination: object) -> None:
    own = bytes.fromhex(OUR_MAC.replace(":", ""))
    asked = Ether(solicitation(own, source, destination))  # type: ignore[arg-type]
    assert asked.src == OUR_MAC
    if source is CUSTOMER:
        assert asked.dst == "ff:ff:ff:ff:ff:ff"
        assert (asked[ARP].op, asked[ARP].hwsrc) == (1, OUR_MAC)
        assert (asked[ARP].psrc, asked[ARP].pdst) == (str(CUSTOMER), str(CLOUD))
    else:
        assert asked.dst == "33:33:ff:00:00:01"
        assert (asked[IPv6].src, asked[IPv6].dst, asked[IPv6].hlim) == (str(CUSTOMER6), "ff02::1:ff00:1", 255)
        assert (asked[ICMPv6ND_NS].tgt, asked[ICMPv6NDOptSrcLLAddr].lladdr) == (str(CLOUD6), OUR_MAC)
        checksum = asked[ICMPv6ND_NS].cksum
        del asked[ICMPv6ND_NS].cksum
        assert Ether(bytes(asked))[ICMPv6ND_NS].cksum == checksum


PROGRAM = """#!/bin/sh
{says}
"""


@pytest.mark.parametrize(
    ("says", "error"),
    [
        ("exit 3", "dcedge-capture ended, status 3"),
        ("echo hello; exec sleep 60", "unexpected first line"),
        ("""echo '{"error":"no scapy here","errno":null}'""", "dcedge-capture: no scapy here"),
        ("""echo '{"listening":true}'; echo '{"source":1}'; exec sleep 60""", "unreadable output"),
        ("""echo '{"listening":true}'; exec tr '\\0' x </dev/zero""", "a line that is too long"),
    ],
)
def test_a_capture_program_that_goes_wrong_is_told_and_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, error: str
) -> None:
    program = tmp_path / "dcedge-capture"
    program.write_text(PROGRAM.format(says=says))
    program.chmod(0o755)
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    with pytest.raises(CaptureError, match=error), PortCapture("eth1", listener()) as capture:
        capture.listen(time.monotonic() + 20)


def test_where_the_capture_program_is_missing_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    with pytest.raises(CaptureError, match="dcedge-capture is not installed"):
        PortCapture("eth1", listener())


def test_an_error_of_the_kernels_comes_as_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "dcedge-capture"
    program.write_text(PROGRAM.format(says="""echo '{"error":"Network is down","errno":100}'"""))
    program.chmod(0o755)
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    with pytest.raises(OSError, match="Network is down"):
        PortCapture("eth1", listener())
