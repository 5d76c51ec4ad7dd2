"""The search for the largest packet that passes names a black hole where there is one, and only there."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from dcedge.explain.path_mtu import largest_that_passes

RUNS = 1000
MTU = 1500


def found(passes: Callable[[int, float], bool]) -> list[int | None]:
    """What many searches say of a line that decides over each packet by its size and a number from 0 to 1."""
    chances = [random.Random(seed) for seed in range(RUNS)]
    return [
        largest_that_passes(lambda size, chance=chance: passes(size, chance.random()), MTU, 576)  # type: ignore[misc]
        for chance in chances
    ]


def holes(sizes: list[int | None]) -> int:
    """How many of the searches would be told as a black hole."""
    return sum(size is not None and size < MTU for size in sizes)


@pytest.mark.parametrize("hole", [576, 577, 1383, 1400, 1499, 1500, 9000])
def test_a_hole_is_found_to_the_byte(hole: int) -> None:
    assert largest_that_passes(lambda size: size <= hole, MTU, 576) == min(hole, MTU)


def test_a_hole_is_found_on_a_line_that_loses_one_packet_in_a_hundred() -> None:
    sizes = found(lambda size, chance: size <= 1400 and chance > 0.01)
    assert sizes.count(1400) > 0.9 * RUNS
    assert set(sizes) <= {1400, None}


@pytest.mark.parametrize("loss", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_line_that_loses_packets_of_any_size_has_no_hole(loss: float) -> None:
    assert holes(found(lambda _, chance: chance > loss)) <= RUNS / 500


def test_a_policer_at_its_limit_has_no_hole_though_short_packets_pass_sooner_than_long_ones() -> None:
    # A packet passes when the bucket has tokens for it: always less than one packet of the stream that empties it.
    assert holes(found(lambda size, chance: size <= chance * (MTU + 14))) <= RUNS / 500
