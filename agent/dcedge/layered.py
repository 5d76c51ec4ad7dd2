"""A mapping that shares nearly everything with an earlier one: what differs lies in a small layer upon it.

To copy the index of thousands of objects touches each of them, which at one changed virtual interface among thousands
is most of the work. Neither the earlier mapping nor what it was made from may change afterwards.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, Mapping, ValuesView
from typing import Final, TypeVar, cast

K = TypeVar("K")
V = TypeVar("V")

_LAYER_MAX = 64  # entries; beyond it the whole is written down anew


class _Gone:
    """Stands for an entry that is no more."""


_GONE: Final = _Gone()


class Layered(Mapping[K, V]):
    """Entries in the order of the mapping below, those that are new after them."""

    __slots__ = ("_below", "_layer", "_length")

    def __init__(self, below: dict[K, V], layer: dict[K, V | _Gone]) -> None:
        self._below = below
        self._layer = layer
        was = sum(key in below for key in layer)
        is_ = sum(value is not _GONE for value in layer.values())
        self._length = len(below) - was + is_

    def __getitem__(self, key: K) -> V:
        value = self._layer.get(key)
        if value is None:
            return self._below[key]
        if value is _GONE:
            raise KeyError(key)
        return cast("V", value)

    def __contains__(self, key: object) -> bool:
        value = self._layer.get(cast("K", key))
        return key in self._below if value is None else value is not _GONE

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[K]:
        # Without the values: to copy thousands of those touches each of them.
        keys = dict.fromkeys(self._below)
        for key, value in self._layer.items():
            if value is _GONE:
                keys.pop(key, None)
            else:
                keys[key] = None
        return iter(keys)

    def items(self) -> ItemsView[K, V]:
        """The entries as they are now, of a copy."""
        return self.whole().items()

    def values(self) -> ValuesView[V]:
        """The values as they are now, of a copy."""
        return self.whole().values()

    def whole(self) -> dict[K, V]:
        """All of it in one dictionary."""
        entries = cast("dict[K, V]", self._below | self._layer)
        for key, value in self._layer.items():
            if value is _GONE:
                entries.pop(key, None)
        return entries

    def layer(self) -> dict[K, V | _Gone]:
        """A copy of the layer."""
        return dict(self._layer)

    @property
    def below(self) -> dict[K, V]:
        """What the layer lies upon."""
        return self._below


def changed(before: Mapping[K, V], gone: Iterable[K], come: Mapping[K, V]) -> Mapping[K, V]:
    """A mapping without some keys, then with other entries; no value is None. `before` stays as it is.

    Where nothing changes it is `before` itself.
    """
    goes = dict.fromkeys(gone, _GONE)
    if not goes and not come:
        return before
    if isinstance(before, Layered):
        below, layer = before.below, before.layer()
    else:
        below, layer = before if isinstance(before, dict) else dict(before), {}
    layer.update(goes)
    layer.update(come)
    made = Layered(below, layer)
    return made if len(layer) <= _LAYER_MAX else made.whole()
