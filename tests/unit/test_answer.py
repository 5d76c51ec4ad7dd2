"""The cloud's end of a measurement: whom it answers, and that it can be used to flood nobody."""

from __future__ import annotations

import contextlib
import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcedge.errors import MeasureError
from dcedge.measure.answer import MEASUREMENTS_MAX, Answerer, answer
from dcedge.measure.burst import packets_within
from dcedge.measure.protocol import (
    BITS_A_CHUNK,
    PACKETS_MAX,
    QUESTION_BYTES,
    Message,
    MessageType,
    decode,
    encode,
    question,
    read_chunk,
)

TOKEN, OTHER = b"consents", b"stranger"


def answerer() -> Answerer:
    return Answerer(TOKEN, drops=lambda: 0)


def told(heard: bytes | None) -> Message:
    assert heard
    message = decode(heard)
    assert message is not None
    return message


def test_a_measurement() -> None:
    cloud = answerer()
    assert told(cloud.heard(question(TOKEN, MessageType.HELLO, 5000))).type is MessageType.WELCOME
    came = {0, 1, 4095, 4096, 4999}
    for number in came:
        assert cloud.heard(encode(TOKEN, MessageType.DATA, number, bytes(1400))) == b""
    found: set[int] = set()
    for number in range(2):
        lost, part = read_chunk(number, told(cloud.heard(question(TOKEN, MessageType.ASK, number))).rest)
        assert lost == 0
        found |= part
    assert found == came
    assert cloud.measurements == 1


def test_who_has_not_the_token_is_neither_counted_nor_answered() -> None:
    cloud = answerer()
    for payload in (
        b"",
        b"noise",
        question(OTHER, MessageType.HELLO, 5000),
        encode(OTHER, MessageType.DATA, 1),
        bytes(1400),
    ):
        assert cloud.heard(payload) is None
    cloud.heard(question(TOKEN, MessageType.HELLO, 5000))
    assert cloud.heard(encode(OTHER, MessageType.DATA, 7)) is None
    assert read_chunk(0, told(cloud.heard(question(TOKEN, MessageType.ASK, 0))).rest) == (0, set())
    assert cloud.measurements == 1


@given(kind=st.sampled_from(MessageType), number=st.integers(0, 2**32 - 1), padding=st.integers(0, 2000))
def test_no_answer_is_longer_than_its_question(kind: MessageType, number: int, padding: int) -> None:
    cloud = answerer()
    cloud.heard(question(TOKEN, MessageType.HELLO, 5000))
    payload = encode(TOKEN, kind, number, bytes(padding))
    said = cloud.heard(payload)
    assert said is not None
    assert len(said) <= len(payload)


def test_a_question_that_is_not_padded_gets_no_answer() -> None:
    cloud = answerer()
    cloud.heard(question(TOKEN, MessageType.HELLO, 5000))
    assert cloud.heard(encode(TOKEN, MessageType.ASK, 0)) == b""
    assert cloud.heard(question(TOKEN, MessageType.ASK, 0))


def test_what_one_start_may_come_to_is_bounded() -> None:
    cloud = answerer()
    assert cloud.heard(question(TOKEN, MessageType.HELLO, PACKETS_MAX + 1)) == b""
    cloud.heard(question(TOKEN, MessageType.HELLO, 100))
    cloud.heard(encode(TOKEN, MessageType.DATA, 100))  # of 0 to 99
    assert read_chunk(0, told(cloud.heard(question(TOKEN, MessageType.ASK, 0))).rest) == (0, set())
    assert cloud.heard(question(TOKEN, MessageType.ASK, 1)) == b""
    answered = sum(bool(cloud.heard(question(TOKEN, MessageType.ASK, 0))) for _ in range(1000))
    assert answered < 20
    welcomed = sum(bool(cloud.heard(question(TOKEN, MessageType.HELLO, 100 + number))) for number in range(1, 1000))
    assert welcomed == MEASUREMENTS_MAX - 1
    assert cloud.exhausted


def test_a_greeting_that_is_said_again_is_the_same_measurement() -> None:
    cloud = answerer()
    for _ in range(3):
        assert cloud.heard(question(TOKEN, MessageType.HELLO, 5000))
    assert cloud.measurements == 1


def test_noise_does_not_keep_it_there() -> None:
    ended = threading.Event()
    place: list[int] = []

    def listen() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            place.append(free.getsockname()[1])
        answer("127.0.0.1", place[0], 0.3, lambda _: ready.set())
        ended.set()

    ready = threading.Event()
    threading.Thread(target=listen, daemon=True).start()
    assert ready.wait(20)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as noise:
        noise.connect(("127.0.0.1", place[0]))
        while not ended.wait(0.02):
            with contextlib.suppress(ConnectionRefusedError):
                noise.send(question(OTHER, MessageType.HELLO, 1))


@given(volume=st.integers(10_000, 2_000_000_000), mtu=st.sampled_from([1280, 1500, 8500]))
def test_a_measurement_with_all_that_is_said_stays_within_its_volume(volume: int, mtu: int) -> None:
    count = packets_within(volume, mtu)
    headers, attempts = 14 + 20 + 8, 3
    questions = -(-count // BITS_A_CHUNK) * (QUESTION_BYTES + headers) * attempts
    assert count * (mtu + 14) + questions + attempts * (17 + headers) <= volume


def test_an_answer_that_is_none_is_an_error_in_words() -> None:
    with pytest.raises(MeasureError, match="cannot be read"):
        read_chunk(0, b"abc")
