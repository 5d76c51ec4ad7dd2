"""When static routes are withdrawn for health, and when they come back."""

from __future__ import annotations

from dcedge.monitor.health.static import FAILED_SECONDS, RECOVERED_SECONDS, PathFacts, StaticPaths, withdrawn_static
from dcedge.order.resolve import ResolvedInterface
from tests.unit.kernel.orders import interfaces_of, vi

WELL, SILENT, DARK = PathFacts(True, True), PathFacts(True, False), PathFacts(False, None)
UNASKED = PathFacts(True, None)
A, B = vi(1, static=("10.20.0.0/16",)), vi(2, static=("10.20.0.0/16",), preference="backup")
SPEAKER = vi(2)


def run(
    interfaces: list[ResolvedInterface], *seen: tuple[float, dict[str, PathFacts]], previous: StaticPaths | None = None
) -> StaticPaths:
    state = previous or StaticPaths()
    for now, facts in seen:
        state = withdrawn_static(interfaces, facts, state, now)
    return state


def test_a_lost_carrier_withdraws_at_once() -> None:
    assert run(interfaces_of(a=A, b=B), (0, {"a": DARK, "b": WELL})).withdrawn == {"a"}


def test_a_silent_neighbour_withdraws_only_after_a_while() -> None:
    both = interfaces_of(a=A, b=B)
    silent = {"a": SILENT, "b": WELL}
    state = run(both, (0, silent), (FAILED_SECONDS - 0.1, silent))
    assert state.withdrawn == frozenset()
    assert run(both, (FAILED_SECONDS, silent), previous=state).withdrawn == {"a"}


def test_a_neighbour_that_answers_in_between_starts_the_clock_anew() -> None:
    silent, well = {"a": SILENT, "b": WELL}, {"a": WELL, "b": WELL}
    both = interfaces_of(a=A, b=B)
    assert not run(both, (0, silent), (2, well), (2.5, silent), (4, silent)).withdrawn


def test_it_comes_back_only_after_it_has_been_well_for_long() -> None:
    both = interfaces_of(a=A, b=B)
    well = {"a": WELL, "b": WELL}
    state = run(both, (0, {"a": DARK, "b": WELL}), (1, well), (RECOVERED_SECONDS, well))
    assert state.withdrawn == {"a"}
    flapped = run(both, (RECOVERED_SECONDS, {"a": DARK, "b": WELL}), (RECOVERED_SECONDS + 2, well), previous=state)
    assert flapped.withdrawn == {"a"}
    assert not run(both, (1 + RECOVERED_SECONDS, well), previous=state).withdrawn


def test_nobodys_question_is_no_answer() -> None:
    both = interfaces_of(a=A, b=B)
    assert not run(both, (0, {"a": UNASKED, "b": WELL}), (99, {"a": UNASKED, "b": WELL})).withdrawn
    state = run(both, (0, {"a": DARK, "b": WELL}))
    assert run(both, (99, {"a": UNASKED, "b": WELL}), previous=state).withdrawn == {"a"}


def test_the_last_path_is_never_withdrawn() -> None:
    assert not run(interfaces_of(a=A), (0, {"a": DARK}), (99, {"a": DARK})).withdrawn
    both = interfaces_of(a=A, b=B)
    assert run(both, (0, {"a": DARK, "b": SILENT}), (9, {"a": DARK, "b": SILENT})).withdrawn == {"a"}
    assert run(both, (0, {"a": DARK, "b": DARK})).withdrawn == {"b"}


def test_a_session_of_the_same_gateway_is_another_path() -> None:
    pair = interfaces_of(a=A, b=SPEAKER)
    assert run(pair, (0, {"a": DARK, "b": PathFacts(True, True, established=True)})).withdrawn == {"a"}
    assert not run(pair, (0, {"a": DARK, "b": WELL})).withdrawn


def test_a_path_to_another_prefix_is_no_other_path() -> None:
    elsewhere = vi(2, static=("10.30.0.0/16",))
    assert not run(interfaces_of(a=A, b=elsewhere), (0, {"a": DARK, "b": WELL})).withdrawn
