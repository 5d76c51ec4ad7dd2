"""Ranges against sets of addresses, counted out one by one."""

from __future__ import annotations

from ipaddress import ip_network

from hypothesis import given
from hypothesis import strategies as st

from dcedge.firewall.ranges import Range, common, in_words, merged, minus, of_prefix


def _range(version: int, first: int, length: int) -> Range:
    return Range(version, first, first + length)


RANGES = st.lists(st.builds(_range, st.sampled_from((4, 6)), st.integers(0, 40), st.integers(0, 9)), max_size=8)


def addresses(ranges: tuple[Range, ...] | list[Range]) -> set[tuple[int, int]]:
    return {(one.version, address) for one in ranges for address in range(one.first, one.last + 1)}


@given(RANGES, RANGES)
def test_union_difference_and_intersection_are_those_of_the_addresses(a: list[Range], b: list[Range]) -> None:
    assert addresses(merged(a)) == addresses(a)
    assert addresses(minus(a, b)) == addresses(a) - addresses(b)
    assert addresses(common(a, merged(b))) == addresses(a) & addresses(b)


@given(RANGES)
def test_equal_sets_have_one_value(a: list[Range]) -> None:
    single = [Range(version, address, address) for version, address in addresses(a)]
    assert merged(single) == merged(a) == minus(a, ())


def test_ranges_in_words() -> None:
    halves = [of_prefix(ip_network(text)) for text in ("10.0.0.0/9", "10.128.0.0/9", "2001:db8::/48")]
    assert in_words(merged(halves)) == ("10.0.0.0/8", "2001:db8::/48")
    assert in_words([Range(4, 5, 8)]) == ("0.0.0.5-0.0.0.8",)
