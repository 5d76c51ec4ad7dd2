"""The end of a BGP connection is heard of, and nobody else's is taken for one."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from dcedge.frr import closed
from dcedge.frr.closed import ClosedConnections
from tests.lab.wait import until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs CAP_NET_ADMIN")


@pytest.fixture
def heard() -> Iterator[ClosedConnections]:
    made = ClosedConnections()
    yield made
    made.close()


def connection() -> tuple[int, socket.socket, socket.socket]:
    """A TCP connection over loopback: a port that nothing but it has, and both its ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    return int(client.getsockname()[1]), client, server


def test_the_end_of_a_connection_to_bgps_port_is_heard(
    heard: ClosedConnections, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, client, server = connection()
    monkeypatch.setattr(closed, "BGP_PORT", port)
    server.close()
    client.close()
    until("its end to be heard", heard.any_of_bgp)


def test_no_other_connection_is_taken_for_bgps(heard: ClosedConnections, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closed, "BGP_PORT", 1)
    _, client, server = connection()
    server.close()
    client.close()
    port, *ends = connection()
    monkeypatch.setattr(closed, "BGP_PORT", port)
    assert not heard.any_of_bgp()
    for end in ends:
        end.close()
    until("the other one's end to be heard", heard.any_of_bgp)
