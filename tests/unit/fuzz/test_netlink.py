"""Whatever comes over netlink: events are taken without an error, and only links are believed to have changed."""

from __future__ import annotations

import errno
import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from dcedge.kernel import events
from dcedge.kernel import messages as m
from dcedge.kernel.events import EventSocket

KINDS = st.one_of(
    st.sampled_from([m.RTM_NEWLINK, m.RTM_DELLINK, m.RTM_NEWADDR, m.RTM_NEWQDISC, 2, 3]), st.integers(0, 65535)
)


@st.composite
def message(draw: st.DrawFn) -> bytes:
    """A netlink message whose length may be a lie."""
    body = draw(st.binary(max_size=80))
    length = draw(st.one_of(st.just(16 + len(body)), st.integers(0, 2**32 - 1)))
    return struct.pack("=IHHII", length, draw(KINDS), draw(st.integers(0, 65535)), 0, 0) + body


class Told(EventSocket):
    """An event socket that is told what came."""

    def __init__(self, datagrams: list[bytes | OSError]) -> None:
        self._socket = Scripted(datagrams)  # type: ignore[assignment]


class Scripted:
    def __init__(self, datagrams: list[bytes | OSError]) -> None:
        self._datagrams = list(datagrams)

    def recv(self, _: int) -> bytes:
        if not self._datagrams:
            raise BlockingIOError
        one = self._datagrams.pop(0)
        if isinstance(one, OSError):
            raise one
        return one


DATAGRAMS = st.one_of(st.binary(max_size=200), st.lists(message(), max_size=4).map(b"".join))


@settings(deadline=None)
@given(st.lists(DATAGRAMS, max_size=events._READS_AT_ONCE + 10))
def test_any_datagram_is_taken(datagrams: list[bytes]) -> None:
    changed = Told([*datagrams]).changed()
    assert changed is not None
    assert all(-(2**31) <= index < 2**31 for index in changed.links)


@given(st.lists(DATAGRAMS, max_size=3))
def test_lost_events_call_for_a_look_at_everything(datagrams: list[bytes]) -> None:
    assert Told([*datagrams, OSError(errno.ENOBUFS, "full")]).changed() is None
