"""The prober's accounting, over a network that the test plays: what is lost, late, twice, or not ours."""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address

import pytest

from dcedge.errors import KernelError
from dcedge.order.field_types import Family
from dcedge.probe import prober as module
from dcedge.probe.icmp import Arrival, Departure, Path
from dcedge.probe.prober import Prober
from dcedge.probe.stream import ProbeStats, full_size_passes
from dcedge.probe.target import Target

TARGET = Target("prod-a", "fra-1", "ipv4", 5, None, ip_address("10.0.0.2"), ip_address("10.0.0.1"), 0.02)
MS = 1_000_000


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine, nothing is lost by time but where a test wants it."""
    monkeypatch.setattr(module, "LOST_AFTER", 60.0)


class Network:
    """A transport whose replies the test hands over; every request is on record with its time."""

    def __init__(self) -> None:
        self.sent: list[tuple[Path, int, int]] = []
        self.arrivals: list[Arrival] = []
        self.left: list[Departure] = []
        self.sized: list[tuple[Path, int, int]] = []
        self.sent_before_sized: list[int] = []
        self.refusal = 0

    def send(self, requests: Sequence[tuple[Path, int]]) -> list[int]:
        if not self.refusal:
            self.sent += [(path, sequence, time.time_ns()) for path, sequence in requests]
        return [self.refusal] * len(requests)

    def send_sized(self, path: Path, sequence: int, size: int) -> int:
        if not self.refusal:
            self.sized.append((path, sequence, size))
            self.sent_before_sized.append(len(self.sent))
        return self.refusal

    def receive(self, limit: int) -> list[Arrival]:
        arrivals, self.arrivals = self.arrivals, []
        return arrivals

    def departures(self, limit: int) -> list[Departure]:
        departures, self.left = self.left, []
        return departures

    def overflows(self) -> int:
        return 0

    def close(self) -> None:
        pass

    def reply(self, number: int, after_ns: int = MS, ifindex: int = 5, source: str = "10.0.0.1") -> None:
        """Answer the request with this number, `after_ns` after it was sent."""
        path, sequence, sent = self.sent[number]
        self.arrivals.append((path.cookie, sequence, sent + after_ns, ifindex, source))


def play(
    scene: Callable[[Prober, Network], Awaitable[None]], *targets: Target, network: Network | None = None
) -> Prober:
    """Run a scene with a started prober; the prober comes back closed."""
    network = network or Network()

    def open_socket(family: Family, identifier: int, key: int) -> Network:
        return network

    async def run() -> Prober:
        prober = Prober(open_socket)
        prober.set_targets(targets or (TARGET,))
        prober.start()
        try:
            await scene(prober, network)
        finally:
            prober.close()
        return prober

    return asyncio.run(run())


async def until(what: str, accept: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not accept():
        assert time.monotonic() < deadline, f"waited 20 s for {what}"
        await asyncio.sleep(0.005)


def only(prober: Prober) -> ProbeStats:
    (stats,) = prober.stats()
    return stats


def test_a_reply_gives_the_round_trip_between_the_kernels_timestamps() -> None:
    async def scene(prober: Prober, network: Network) -> None:
        await until("a request", lambda: network.sent)
        path, sequence, sent = network.sent[0]
        # The request waited 3 ms in a queue: that is not part of the round trip.
        network.left.append((path.cookie, sequence, sent + 3 * MS))
        network.reply(0, 5 * MS)
        await until("its reply", lambda: only(prober).received)

    stats = only(play(scene))
    assert stats.rtt_last == pytest.approx(0.002)
    assert stats.histogram.observations == 1
    assert stats.lost == 0


def test_without_a_transmit_timestamp_the_time_of_sending_serves() -> None:
    async def scene(prober: Prober, network: Network) -> None:
        await until("a request", lambda: network.sent)
        network.reply(0, 5 * MS)
        await until("its reply", lambda: only(prober).received)

    rtt = only(play(scene)).rtt_last
    assert rtt is not None
    assert 0.005 <= rtt < 0.5


def test_a_second_reply_is_a_duplicate_and_no_second_round_trip() -> None:
    async def scene(prober: Prober, network: Network) -> None:
        await until("a request", lambda: network.sent)
        network.reply(0)
        network.reply(0)
        await until("both replies", lambda: only(prober).duplicates)

    stats = only(play(scene))
    assert (stats.received, stats.duplicates, stats.histogram.observations) == (1, 1, 1)


def test_a_reply_overtaken_by_a_later_ones_is_reordered_and_still_counts() -> None:
    async def scene(prober: Prober, network: Network) -> None:
        await until("three requests", lambda: len(network.sent) > 2)
        for number in (1, 0, 2):
            network.reply(number)
        await until("their replies", lambda: only(prober).received == 3)

    stats = only(play(scene))
    assert (stats.reordered, stats.lost, stats.duplicates) == (1, 0, 0)


def test_silence_is_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOST_AFTER", 0.1)

    async def scene(prober: Prober, network: Network) -> None:
        await until("three losses", lambda: only(prober).lost >= 3)

    stats = only(play(scene))
    assert stats.received == 0
    assert stats.window_lost == stats.window_probes == stats.lost


def test_a_reply_after_the_verdict_is_late_and_the_probe_stays_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOST_AFTER", 0.1)

    async def scene(prober: Prober, network: Network) -> None:
        await until("a loss", lambda: only(prober).lost)
        network.reply(0, 150 * MS)
        network.reply(0, 160 * MS)
        await until("the late reply", lambda: only(prober).duplicates)

    stats = only(play(scene))
    assert (stats.late, stats.duplicates, stats.received) == (1, 1, 0)
    assert stats.rtt_last is None


def test_a_reply_that_lay_unread_while_the_loop_was_held_is_judged_by_its_timestamp() -> None:
    async def scene(prober: Prober, network: Network) -> None:
        await until("a request", lambda: network.sent)
        network.reply(0, 1500 * MS)
        await until("the reply", lambda: only(prober).late)

    stats = only(play(scene))
    assert (stats.late, stats.lost, stats.received) == (1, 1, 0)


@pytest.mark.parametrize(
    "forgery",
    [
        {"ifindex": 6},
        {"source": "10.0.0.9"},
        {"cookie": b"wrong!!!"},
        {"sequence": 10_000},
    ],
    ids=lambda forgery: next(iter(forgery)),
)
def test_a_reply_that_fits_no_request_does_not_count(forgery: dict[str, object]) -> None:
    async def scene(prober: Prober, network: Network) -> None:
        await until("a request", lambda: network.sent)
        path, sequence, sent = network.sent[0]
        true = {"cookie": path.cookie, "sequence": sequence, "at": sent + MS, "ifindex": 5, "source": "10.0.0.1"}
        network.arrivals.append(tuple((true | forgery).values()))  # type: ignore[arg-type]
        await until("the stray", lambda: prober.prober_stats().strays)

    assert only(play(scene)).received == 0


def test_a_probe_that_cannot_be_sent_says_why_and_counts_as_loss_in_the_window_only() -> None:
    async def scene(prober: Prober, network: Network) -> None:
        network.refusal = errno.ENETDOWN
        await until("a failed attempt", lambda: only(prober).send_errors)

    stats = only(play(scene))
    assert stats.error == "Network is down"
    assert (stats.sent, stats.lost) == (0, 0)
    assert stats.window_lost == stats.send_errors


def test_statistics_outlive_a_link_that_was_made_anew() -> None:
    async def scene(prober: Prober, network: Network) -> None:
        await until("a request", lambda: network.sent)
        network.reply(0)
        await until("its reply", lambda: only(prober).received)
        anew = Target(**{slot: getattr(TARGET, slot) for slot in TARGET.__slots__} | {"ifindex": 9})
        before = len(network.sent)
        prober.set_targets([anew])
        await until("a request by the new link", lambda: len(network.sent) > before)
        network.reply(before, ifindex=9)
        await until("its reply", lambda: only(prober).received == 2)

    assert only(play(scene)).received == 2


def test_a_target_that_left_is_no_longer_probed_and_the_others_go_on() -> None:
    other = Target("prod-b", "fra-1", "ipv4", 6, None, ip_address("10.0.1.2"), ip_address("10.0.1.1"), 0.02)

    async def scene(prober: Prober, network: Network) -> None:
        await until("requests of both", lambda: len({path.destination for path, _, _ in network.sent}) == 2)
        prober.set_targets([TARGET])
        before = len(network.sent)
        await until("more requests", lambda: len(network.sent) > before + 3)
        assert {path.destination for path, _, _ in network.sent[before:]} == {"10.0.0.1"}

    assert only(play(scene, TARGET, other)).virtual_interface == "prod-a"


def test_setting_the_same_targets_again_and_again_holds_nothing_up() -> None:
    async def scene(prober: Prober, network: Network) -> None:
        def set_again() -> bool:
            prober.set_targets([TARGET])
            return len(network.sent) > 5

        await until("requests", set_again)
        assert len({path.cookie for path, _, _ in network.sent}) == 1
        assert [sequence for _, sequence, _ in network.sent] == list(range(len(network.sent)))

    play(scene)


def test_a_stepped_clock_gives_no_round_trip(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(prober: Prober, network: Network) -> None:
        await until("a request", lambda: network.sent)
        true_offset = module._clock_offset()
        monkeypatch.setattr(module, "_clock_offset", lambda: true_offset + 3600 * 10**9)
        network.reply(0, 3600 * 10**9)
        await until("its reply", lambda: only(prober).received)

    stats = only(play(scene))
    assert (stats.received, stats.lost, stats.late) == (1, 0, 0)
    assert stats.histogram.observations == 0


def test_one_probe_in_sixty_is_of_full_size_and_no_probe_more_is_sent_for_it() -> None:
    target = Target(**{slot: getattr(TARGET, slot) for slot in TARGET.__slots__} | {"mtu": 1500, "interval": 0.01})

    async def scene(prober: Prober, network: Network) -> None:
        answered = 0

        def two_full_size_probes() -> bool:
            nonlocal answered
            for path, sequence, _ in network.sized[answered:]:
                network.arrivals.append((path.cookie, sequence, time.time_ns(), 5, "10.0.0.1"))
            answered = len(network.sized)
            return answered >= 2

        await until("two of full size", two_full_size_probes)
        first, second = network.sent_before_sized[:2]
        assert second - first == 59
        await until("both answers", lambda: only(prober).full_size_answered)

    prober = play(scene, target)
    stats = only(prober)
    assert stats.full_size_misses == 0
    assert (stats.received, stats.duplicates, prober.prober_stats().strays) == (0, 0, 0)


def test_a_full_size_probe_without_an_answer_is_no_loss_and_soon_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOST_AFTER", 0.05)
    target = Target(**{slot: getattr(TARGET, slot) for slot in TARGET.__slots__} | {"mtu": 1500, "interval": 0.01})

    async def scene(prober: Prober, network: Network) -> None:
        await until("a miss", lambda: only(prober).full_size_misses == 1)
        assert full_size_passes(only(prober)) is None
        await until("three misses", lambda: only(prober).full_size_misses == 3)
        assert full_size_passes(only(prober)) is False
        sent, lost = len(network.sized), only(prober).lost
        path, sequence, _ = network.sized[-1]
        network.arrivals.append((path.cookie, sequence, time.time_ns(), 5, "10.0.0.1"))
        await until("the answer", lambda: only(prober).full_size_answered)
        assert full_size_passes(only(prober)) is True
        assert sent >= 3
        assert lost <= len(network.sent)

    play(scene, target)


def test_being_held_up_between_the_two_clocks_is_no_step(monkeypatch: pytest.MonkeyPatch) -> None:
    true_offset, read = module._clock_offset(), time.time_ns
    holdups = [0.02, 0.02]

    def held_up() -> int:
        time.sleep(holdups.pop() if holdups else 0)
        return read()

    monkeypatch.setattr(time, "time_ns", held_up)
    assert abs(module._clock_offset() - true_offset) < module._CLOCK_STEP_NS
    assert not holdups


def test_more_replies_than_are_read_at_once_are_all_read_before_the_next_requests() -> None:
    flood = 10 * module._AT_ONCE

    class Flooded(Network):
        def receive(self, limit: int) -> list[Arrival]:
            arrivals, self.arrivals = self.arrivals[:limit], self.arrivals[limit:]
            return arrivals

    async def scene(prober: Prober, network: Network) -> None:
        await until("a request", lambda: network.sent)
        for _ in range(flood):
            network.reply(0)
        before = len(network.sent)
        await until("the flood's end", lambda: not network.arrivals)
        assert len(network.sent) <= before + 1
        await until("more requests", lambda: len(network.sent) > before + 1)

    assert only(play(scene, network=Flooded())).duplicates == flood - 1


def test_a_socket_that_cannot_be_had_is_said_costs_no_probe_of_the_other_family_and_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "REOPEN_SECONDS", 0.05)
    six = Target("prod-a", "fra-1", "ipv6", 5, None, ip_address("2001:db8::2"), ip_address("2001:db8::1"), 0.02)
    networks: dict[Family, Network] = {}
    missing = [True]

    def open_socket(family: Family, identifier: int, key: int) -> Network:
        if family == "ipv6" and missing[0]:
            raise KernelError("no raw socket for ipv6 probes: Operation not permitted", errno.EPERM)
        networks[family] = Network()
        return networks[family]

    async def run() -> None:
        prober = Prober(open_socket)
        prober.start()
        prober.set_targets((TARGET, six))
        await until("probes of the other family", lambda: networks["ipv4"].sent)
        assert prober.trouble == "probes cannot be sent: no raw socket for ipv6 probes: Operation not permitted"
        prober.set_targets((TARGET, six))
        missing[0] = False
        await until("probes", lambda: "ipv6" in networks and networks["ipv6"].sent)
        assert prober.trouble == ""
        (stats,) = [one for one in prober.stats() if one.family == "ipv6"]
        assert not stats.lost
        prober.close()

    asyncio.run(run())


def test_a_socket_that_nobody_needs_any_more_is_no_trouble() -> None:
    def open_socket(family: Family, identifier: int, key: int) -> Network:
        raise KernelError("no raw socket", errno.EMFILE)

    async def run() -> None:
        prober = Prober(open_socket)
        prober.start()
        prober.set_targets((TARGET,))
        assert prober.trouble
        prober.set_targets(())
        assert not prober.trouble
        prober.close()

    asyncio.run(run())
