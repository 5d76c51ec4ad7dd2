"""The largest packet that a path lets through, found by trying: a size that never passes, not one that got lost."""

from __future__ import annotations

from collections.abc import Callable

_TRIES = 2  # of one size, on the way to the edge
_PROOFS = 3  # of most against least, before anything is sought
_EDGE_PROOFS = 4  # of the size found against one byte more


def largest_that_passes(answered: Callable[[int], bool], most: int, least: int) -> int | None:
    """The size of IP packet, `least` to `most` bytes, above which none is answered; None where loss hides it.

    `answered` sends one packet of a size and says whether an answer came.
    """

    def passes(size: int) -> bool:
        return any(answered(size) for _ in range(_TRIES))

    if most <= least:
        return most
    # Where pings get lost anyway, size has nothing to do with it: both sizes, side by side, must bear it out.
    for _ in range(_PROOFS):
        if passes(most):
            return most
        if not passes(least):
            return None
    low, high = least, most - 1
    while low < high:
        middle = (low + high + 1) // 2
        if passes(middle):
            low = middle
        else:
            high = middle - 1
    # A policer at its limit drops a long packet sooner than a short one, by chance; a hole has a sharp edge.
    edge = all(answered(low) and not answered(low + 1) for _ in range(_EDGE_PROOFS))
    return low if edge else None
