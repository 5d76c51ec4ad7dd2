"""Whatever comes over netlink: events are taken without an error, and only links are believed to have changed."""

from __future__ import annotations

import errno
import struct

from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyroute2.netlink import rtnl

from dcedge.kernel.events import Changed, EventSocket
from dcedge.netlink.event_receiver import READS_AT_ONCE

KINDS = st.one_of(
    st.sampled_from(
        [
            rtnl.RTM_NEWLINK,
            rtnl.RTM_DELLINK,
            rtnl.RTM_NEWADDR,
            rtnl.RTM_NEWQDISC,
            rtnl.RTM_NEWRULE,
            rtnl.RTM_NEWNETCONF,
            2,
            3,
        ]
    ),
    st.integers(0, 65535),
)


@st.composite
def message(draw: st.DrawFn) -> bytes:
    """A netlink message whose length may be a lie."""
    body = draw(st.binary(max_size=80))
    length = draw(st.one_of(st.just(16 + len(body)), st.integers(0, 2**32 - 1)))
    return struct.pack("=IHHII", length, draw(KINDS), draw(st.integers(0, 65535)), 0, 0) + body


class Scripted:
    """The wire of an event socket, over which exactly these datagrams come."""

    def __init__(self, datagrams: list[bytes | OSError]) -> None:
        self._datagrams = list(datagrams)

    def send(self, data: bytes, _: int = 0, /) -> int:
        return len(data)

    def recv(self, _: int, __: int = 0, /) -> bytes:
        if not self._datagrams:
            raise BlockingIOError
        one = self._datagrams.pop(0)
        if isinstance(one, OSError):
            raise one
        return one

    def recv_into(self, _: bytearray, /) -> int:
        raise TimeoutError

    def fileno(self) -> int:
        return -1

    def close(self) -> None: ...


def changed(datagrams: list[bytes | OSError]) -> Changed | None:
    """What an event socket makes of them."""
    return EventSocket(wire=Scripted(datagrams)).changed()


DATAGRAMS = st.one_of(st.binary(max_size=200), st.lists(message(), max_size=4).map(b"".join))


@settings(deadline=None)
@given(st.lists(DATAGRAMS, max_size=READS_AT_ONCE + 10))
@example([struct.pack("=IHHII", 16, rtnl.RTM_NEWNETCONF, 0, 0, 0)])
@example([struct.pack("=IHHIIIHH", 24, rtnl.RTM_NEWNETCONF, 0, 0, 0, 0, 4, 1)])
def test_any_datagram_is_taken(datagrams: list[bytes]) -> None:
    heard = changed([*datagrams])
    assert heard is not None
    assert all(-(2**31) <= index < 2**31 for index in heard.links)


@given(st.lists(DATAGRAMS, max_size=3))
def test_lost_events_call_for_a_look_at_everything(datagrams: list[bytes]) -> None:
    assert changed([*datagrams, OSError(errno.ENOBUFS, "full")]) is None
