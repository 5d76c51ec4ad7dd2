"""A layered mapping reads as the dictionary that it stands for."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from dcedge.layered import changed

_KEYS = st.integers(0, 30)
_STEPS = st.lists(st.tuples(st.sets(_KEYS), st.dictionaries(_KEYS, st.text(max_size=2))), max_size=8)


@given(st.dictionaries(_KEYS, st.text(max_size=2)), _STEPS)
def test_it_is_the_dictionary_with_the_changes(
    start: dict[int, str], steps: list[tuple[set[int], dict[int, str]]]
) -> None:
    mapping: Mapping[int, str] = start
    plain = dict(start)
    for gone, come in steps:
        before, was = mapping, dict(plain)
        mapping = changed(mapping, gone, come)
        plain = {key: value for key, value in plain.items() if key not in gone} | come
        assert dict(before) == was
        assert dict(mapping) == dict(mapping.items()) == plain
        assert len(mapping) == len(plain)
        assert sorted(mapping.values()) == sorted(plain.values())
        assert all((key in mapping) == (key in plain) and mapping.get(key) == plain.get(key) for key in range(32))


def test_nothing_that_changes_is_the_same_mapping() -> None:
    mapping = changed({1: "a"}, [], {2: "b"})
    assert changed(mapping, iter(()), {}) is mapping


def test_many_changes_do_not_pile_up() -> None:
    mapping: Mapping[int, int] = {}
    for number in range(1000):
        mapping = changed(mapping, [number - 10], {number: number})
    assert list(mapping) == list(range(990, 1000))
