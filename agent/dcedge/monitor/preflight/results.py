"""The pre-flight for people and for programs."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence

from dcedge.logging.masking import hide
from dcedge.monitor.preflight.check import CheckResult, State

log = logging.getLogger(__name__)

_STATES: tuple[State, ...] = ("good", "warning", "wrong", "unknown")


def results_json(results: Iterable[CheckResult]) -> list[dict[str, str]]:
    """The lines as plain data."""
    return [
        {"what": result.what, "state": result.state, "text": hide(result.text), "mend": hide(result.mend)}
        for result in results
    ]


def results_text(results: Sequence[CheckResult]) -> str:
    """The lines aligned, what mends each under it, and how many there are of each kind."""
    width = max((len(result.what) for result in results), default=0)
    told = []
    for result in results:
        told.append(f"{result.state:<8} {result.what:<{width}}  {hide(result.text)}")
        if result.mend and result.state != "good":
            told.append(f"{'':<8} {'':<{width}}  -> {hide(result.mend)}")
    counts = Counter(result.state for result in results)
    told.append(", ".join(f"{counts[state]} {state}" for state in _STATES if counts[state]))
    return "\n".join(told)


def log_results(results: Iterable[CheckResult]) -> None:
    """What is not good, in the log."""
    for result in results:
        level = {"wrong": logging.ERROR, "warning": logging.WARNING}.get(result.state)
        if level is not None:
            mend = f" (fix: {result.mend})" if result.mend else ""
            log.log(level, "this host: %s: %s%s", result.what, hide(result.text), mend)
