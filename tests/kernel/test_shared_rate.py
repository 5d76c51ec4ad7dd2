"""Rates that are shared or changed, with traffic: who gets what, and that nothing is lost on the way."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab import traffic
from tests.lab.netns import Workspace, end
from tests.lab.shared_line import CIRCUIT, HEAD, OVERSUBSCRIBED, PORT, SharedLine, interface
from tests.lab.wait import until

ACCURATE = 1.03  # times a rate: never more than that arrives
SENDING = 5  # Mbit/s, several times the stream beside: TCP is there
FULL = 0.75  # times a rate: it is in use, above every part of it that is not lent; the bench holds it closer


@pytest.fixture
def line() -> Iterator[SharedLine]:
    with Workspace() as work:
        yield SharedLine(work)


def test_a_circuits_bandwidth_is_shared_by_its_peerings_and_lent_where_idle(line: SharedLine) -> None:
    line.apply(CIRCUIT + interface("a", "er-1", 101) + interface("b", "er-1", 102, "bandwidth: 7M, "))
    with line.sending(101):
        line.rates_between([101], FULL * 20, ACCURATE * 20)  # what is idle is lent
    with line.sending(101, 102):
        first, second = line.rates_between([101, 102], FULL * 20, ACCURATE * 20)
    assert second < ACCURATE * 7
    assert 0.17 < second / (first + second) < 0.36, (first, second)
    line.apply(CIRCUIT + interface("a", "er-1", 101))
    assert "dce:" not in line.edge.run("tc", "qdisc", "show", "dev", "eth1.10").stdout


def test_an_oversubscribed_port_starves_nobody(line: SharedLine) -> None:
    both = interface("a", "fra-1", 201, "bandwidth: 16M, ") + interface("b", "fra-1", 202, "bandwidth: 8M, ")
    line.apply(OVERSUBSCRIBED + both)
    with line.sending(201, 202):
        first, second = line.rates_between([201, 202], FULL * 20, ACCURATE * 20)
    assert 1.4 < first / second < 2.6, (first, second)
    with line.sending(202):
        line.rates_between([202], FULL * 8, ACCURATE * 8)
    line.apply(OVERSUBSCRIBED + interface("a", "fra-1", 201, "bandwidth: 16M, "))
    assert "dce:" not in line.edge.run("tc", "qdisc", "show", "dev", "eth1").stdout


def test_a_rate_changes_under_traffic_and_nothing_is_lost_or_reordered(line: SharedLine) -> None:
    def order(rate: str) -> str:
        return HEAD + PORT + interface("a", "fra-1", 201, f"bandwidth: {rate}, ")

    line.apply(order("200M"))
    line.cloud.popen("iperf3", "--server", "--bind", "10.20.201.10")
    until("iperf3 to listen", lambda: line.cloud.run("ss", "-Hltn", "sport = :5201").stdout)
    tcp = line.host.popen("iperf3", "--client", "10.20.201.10", "--parallel", "4", "--time", "120")
    try:
        with traffic.udp_stream(line.host, line.cloud, "10.20.201.10", packets_per_second=200) as stream:
            for rate, most in (("500M", 500), ("20M", 20), ("600M", 600), ("200M", 200)):
                line.apply(order(rate))
                line.rates_between([201], SENDING, 1.02 * most, 0.5)
                assert tcp.poll() is None
        assert (stream.lost, stream.reordered, stream.duplicated) == (0, 0, 0)
        assert stream.received > 500
    finally:
        end(tcp)
