"""When static routes are withdrawn for health, and when they come back."""

from __future__ import annotations

from dcedge.health.static import FAILED_SECONDS, RECOVERED_SECONDS, PathFacts, StaticPaths, withheld_static
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
        state = withheld_static(interfaces, facts, state, now)
    return state


def test_a_lost_carrier_withdraws_at_once() -> None:
    assert run(interfaces_of(a=A, b=B), (0, {"a": DARK, "b": WELL})).withheld == {"a"}


def test_a_silent_neighbour_withdraws_only_after_a_while() -> None:
    both = interfaces_of(a=A, b=B)
    silent = {"a": SILENT, "b": WELL}
    state = run(both, (0, silent), (FAILED_SECONDS - 0.1, silent))
    assert state.withheld == frozenset()
    assert run(both, (FAILED_SECONDS, silent), previous=state).withheld == {"a"}


def test_a_neighbour_that_answers_in_between_starts_the_clock_anew() -> None:
    silent, well = {"a": SILENT, "b": WELL}, {"a": WELL, "b": WELL}
    both = interfaces_of(a=A, b=B)
    assert not run(both, (0, silent), (2, well), (2.5, silent), (4, silent)).withheld


def test_it_comes_back_only_after_it_has_been_well_for_long() -> None:
    both = interfaces_of(a=A, b=B)
    well = {"a": WELL, "b": WELL}
    state = run(both, (0, {"a": DARK, "b": WELL}), (1, well), (RECOVERED_SECONDS, well))
    assert state.withheld == {"a"}
    flapped = run(both, (RECOVERED_SECONDS, {"a": DARK, "b": WELL}), (RECOVERED_SECONDS + 2, well), previous=state)
    assert flapped.withheld == {"a"}
    assert not run(both, (1 + RECOVERED_SECONDS, well), previous=state).withheld


def test_nobodys_question_is_no_answer() -> None:
    both = interfaces_of(a=A, b=B)
    assert not run(both, (0, {"a": UNASKED, "b": WELL}), (99, {"a": UNASKED, "b": WELL})).withheld
    state = run(both, (0, {"a": DARK, "b": WELL}))
    assert run(both, (99, {"a": UNASKED, "b": WELL}), previous=state).withheld == {"a"}


def test_the_last_path_is_never_withdrawn() -> None:
    assert not run(interfaces_of(a=A), (0, {"a": DARK}), (99, {"a": DARK})).withheld
    both = interfaces_of(a=A, b=B)
    assert run(both, (0, {"a": DARK, "b": SILENT}), (9, {"a": DARK, "b": SILENT})).withheld == {"a"}
    assert run(both, (0, {"a": DARK, "b": DARK})).withheld == {"b"}


def test_a_session_of_the_same_gateway_is_another_path() -> None:
    pair = interfaces_of(a=A, b=SPEAKER)
    assert run(pair, (0, {"a": DARK, "b": PathFacts(True, True, established=True)})).withheld == {"a"}
    assert not run(pair, (0, {"a": DARK, "b": WELL})).withheld


def test_a_path_to_another_prefix_is_no_other_path() -> None:
    elsewhere = vi(2, static=("10.30.0.0/16",))
    assert not run(interfaces_of(a=A, b=elsewhere), (0, {"a": DARK, "b": WELL})).withheld
