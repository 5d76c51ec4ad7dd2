"""The schedule: even, inside each connection's budget, and the same for the same wishes."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcedge.probe.schedule import ProbeRequest, ProbeSlot, arrange


def requests(connection: str, count: int, interval: float = 1.0) -> list[ProbeRequest[str]]:
    return [ProbeRequest(f"{connection}-{number}", connection, interval) for number in range(count)]


def times(slots: dict[str, ProbeSlot], connection: str, seconds: float) -> list[float]:
    """Every sending time of a connection's probes in the first `seconds`."""
    return sorted(
        slot.phase + turn * slot.interval
        for key, slot in slots.items()
        if key.startswith(connection)
        for turn in range(int(seconds / slot.interval) + 1)
        if slot.phase + turn * slot.interval < seconds
    )


def test_the_probes_of_a_connection_are_spaced_evenly() -> None:
    slots = arrange(requests("fra", 20), {})
    gaps = [later - earlier for earlier, later in pairwise(times(slots, "fra", 5))]
    assert gaps == pytest.approx([0.05] * len(gaps))


def test_connections_do_not_send_at_the_same_moments() -> None:
    slots = arrange(requests("a", 4) + requests("b", 4) + requests("c", 4), {})
    sent = sorted(slot.phase % 1.0 for slot in slots.values())
    assert min(later - earlier for earlier, later in pairwise(sent)) > 0.02


def test_sixty_virtual_interfaces_on_a_budget_of_thirty_are_probed_every_two_seconds() -> None:
    slots = arrange(requests("otc", 60), {"otc": 30})
    assert {slot.interval for slot in slots.values()} == {2.0}
    sent = times(slots, "otc", 20)
    worst = max(sum(start <= moment < start + 0.9999 for moment in sent) for start in sent[:-30])
    assert worst <= 30


def test_a_budget_binds_its_own_connection_only() -> None:
    slots = arrange(requests("otc", 60) + requests("aws", 60), {"otc": 30})
    assert {slot.interval for key, slot in slots.items() if key.startswith("aws")} == {1.0}


def test_a_budget_that_is_not_reached_changes_nothing() -> None:
    slots = arrange(requests("otc", 30), {"otc": 30})
    assert {slot.interval for slot in slots.values()} == {1.0}


def test_mixed_intervals_are_stretched_by_one_factor() -> None:
    slots = arrange([ProbeRequest("otc-fast", "otc", 0.1), ProbeRequest("otc-slow", "otc", 1.0)], {"otc": 5.5})
    assert slots["otc-fast"].interval == pytest.approx(0.2)
    assert slots["otc-slow"].interval == pytest.approx(2.0)


@given(st.permutations(requests("a", 5) + requests("b", 3, 0.5)))
def test_the_order_of_the_wishes_does_not_matter(wishes: list[ProbeRequest[str]]) -> None:
    assert arrange(wishes, {"a": 2}) == arrange(requests("a", 5) + requests("b", 3, 0.5), {"a": 2})


@given(
    st.dictionaries(st.sampled_from("abc"), st.integers(1, 80), min_size=1),
    st.sampled_from([0.01, 0.1, 1.0, 5.0]),
    st.floats(0.5, 100),
)
def test_no_connection_ever_exceeds_its_budget(counts: dict[str, int], interval: float, budget: float) -> None:
    wishes = [wish for name, count in counts.items() for wish in requests(name, count, interval)]
    slots = arrange(wishes, dict.fromkeys(counts, budget))
    for name in counts:
        rate = sum(1 / slot.interval for key, slot in slots.items() if key.startswith(name))
        assert rate <= budget * 1.000001


@given(st.floats(0.01, 10), st.floats(0, 1), st.floats(0, 1000))
def test_the_next_time_is_the_slots_own_and_not_before_the_moment(interval: float, share: float, moment: float) -> None:
    slot = ProbeSlot(interval, share * interval)
    following = slot.next_after(moment)
    assert following >= moment - 1e-6
    assert following <= max(moment, slot.phase) + interval + 1e-6
