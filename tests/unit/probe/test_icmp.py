"""The echo codec: what goes out is valid ICMP, what comes back is known for ours or left out."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from dcedge.order.field_types import Family
from dcedge.probe.icmp import ECHO_LENGTH, ECHO_REQUEST, decode_echo, encode_request

FAMILIES: list[Family] = ["ipv4", "ipv6"]


def internet_sum(data: bytes) -> int:
    """RFC 1071 by the letter: a message with a right checksum sums up to all ones."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


@given(
    family=st.sampled_from(FAMILIES),
    identifier=st.integers(0, 0xFFFF),
    key=st.integers(0, 0xFFFFFFFF),
    cookie=st.binary(min_size=8, max_size=8),
    sequence=st.integers(0, 2**40),
)
def test_a_request_is_valid_icmp_and_reads_back(
    family: Family, identifier: int, key: int, cookie: bytes, sequence: int
) -> None:
    message = encode_request(family, identifier, key, cookie, sequence)
    assert len(message) == ECHO_LENGTH == 64
    assert internet_sum(message) == 0xFFFF
    assert decode_echo(message) == (ECHO_REQUEST[family], identifier, key, cookie, sequence & 0xFFFFFFFF)


def test_the_message_is_found_behind_an_ip_header_with_options() -> None:
    message = encode_request("ipv4", 7, 8, b"12345678", 9)
    found = decode_echo(b"\x4f" + bytes(59) + message, 60)
    assert found is not None
    assert found.sequence == 9


@given(st.binary(max_size=80))
def test_garbage_never_raises(message: bytes) -> None:
    decode_echo(message)


def test_a_reply_whose_two_sequences_disagree_is_not_ours() -> None:
    message = bytearray(encode_request("ipv4", 7, 8, b"12345678", 9))
    message[7] ^= 1
    assert decode_echo(bytes(message)) is None


def test_an_unreachable_is_not_an_echo() -> None:
    message = bytearray(encode_request("ipv4", 7, 8, b"12345678", 9))
    message[0:2] = b"\x03\x01"
    assert decode_echo(bytes(message)) is None


def test_a_short_message_is_not_an_echo() -> None:
    assert decode_echo(encode_request("ipv4", 7, 8, b"12345678", 9)[:20]) is None
