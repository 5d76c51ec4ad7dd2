"""What each line that we write means to FRR: what it replaces, how it is undone, what changing it does to a session.

Disruptions are the worst of FRR 8.4.4, 10.3 and 10.7, measured on an established session. `timers` take effect on the
next session, `bfd` at once and without a reset, policy (route-maps, prefix-lists, limits) by route refresh or (where
`soft-reconfiguration inbound` stands) from what the peer announced before. `graceful-restart…` resets the session from
10.3 on; before that it took effect on the next one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache

from dcedge.frr.config import ConfigLine
from dcedge.plan.resource import Disruption

DEFINITIONS, ROUTER, NEIGHBOR, FAMILY = range(4)


@dataclass(frozen=True, slots=True)
class Rule:
    """One form of line.

    `slot` names what the line sets: two lines of one context with one slot replace each other. `negation` undoes it.
    `stage` and `step` order what is made: a thing before what uses it.
    """

    pattern: str
    slot: str
    negation: str
    stage: int
    step: int = 0
    disruption: Disruption = "none"
    regex: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "regex", re.compile(self.pattern))


def _neighbor(rest: str, slot: str, negation: str, step: int, disruption: Disruption = "none") -> Rule:
    return Rule(
        rf"neighbor (?P<peer>\S+) {rest}",
        f"neighbor {{peer}} {slot}",
        f"no neighbor {{peer}}{' ' if negation else ''}{negation}",
        NEIGHBOR,
        step,
        disruption,
    )


def _neighbor_family(rest: str, slot: str, negation: str, step: int, disruption: Disruption = "none") -> Rule:
    return Rule(
        rf"neighbor (?P<peer>\S+) {rest}",
        f"neighbor {{peer}} {slot}",
        f"no neighbor {{peer}} {negation}",
        FAMILY,
        step,
        disruption,
    )


RULES: tuple[Rule, ...] = (
    Rule(r"bfd", "bfd", "no bfd", DEFINITIONS, 0),
    Rule(r"profile (?P<name>\S+)", "profile {name}", "no profile {name}", DEFINITIONS, 1),
    # bfdd has no `no` for these; the default undoes them.
    Rule(r"detect-multiplier \d+", "detect-multiplier", "detect-multiplier 3", DEFINITIONS, 2),
    Rule(r"transmit-interval \d+", "transmit-interval", "transmit-interval 300", DEFINITIONS, 2),
    Rule(r"receive-interval \d+", "receive-interval", "receive-interval 300", DEFINITIONS, 2),
    Rule(r"minimum-ttl \d+", "minimum-ttl", "no minimum-ttl", DEFINITIONS, 2),
    Rule(r"(?P<slot>(?:ip|ipv6) prefix-list \S+ seq \d+) .+", "{slot}", "no {line}", DEFINITIONS, 0),
    Rule(r"(?P<slot>bgp as-path access-list \S+ seq \d+) .+", "{slot}", "no {line}", DEFINITIONS, 0),
    Rule(
        r"route-map (?P<name>\S+) (?P<action>permit|deny) (?P<seq>\d+)",
        "route-map {name} {seq}",
        "no route-map {name} {action} {seq}",
        DEFINITIONS,
        1,
    ),
    Rule(r"(?P<slot>match (?:ip|ipv6) address prefix-list) \S+", "{slot}", "no {slot}", DEFINITIONS, 2),
    Rule(r"match as-path \S+", "match as-path", "no match as-path", DEFINITIONS, 2),
    Rule(r"(?P<slot>set as-path prepend|set \S+) .+", "{slot}", "no {slot}", DEFINITIONS, 2),
    Rule(r"router bgp .+", "{line}", "no {line}", ROUTER, 0, "session"),
    Rule(r"bgp router-id \S+", "bgp router-id", "no bgp router-id", ROUTER, 1, "session"),
    Rule(r"bgp bestpath as-path multipath-relax", "{line}", "no {line}", ROUTER, 1),
    Rule(r"bgp graceful-restart preserve-fw-state", "{line}", "no {line}", ROUTER, 1),
    _neighbor(r"remote-as \S+", "remote-as", "", 0, "session"),
    _neighbor(r"shutdown", "shutdown", "shutdown", 1, "session"),
    _neighbor(r"password .+", "password", "password", 2, "session"),
    _neighbor(r"local-as .+", "local-as", "local-as", 3, "session"),
    _neighbor(r"description .+", "description", "description", 4),
    _neighbor(r"ebgp-multihop \d+", "ebgp-multihop", "ebgp-multihop", 4, "session"),
    _neighbor(r"(?P<rest>ttl-security hops \d+)", "ttl-security", "{rest}", 4, "session"),
    _neighbor(r"timers \d+ \d+", "timers", "timers", 4),
    _neighbor(r"timers connect \d+", "timers connect", "timers connect", 4),
    _neighbor(r"(?P<rest>graceful-restart(?:-disable)?)", "graceful-restart", "{rest}", 4, "session"),
    _neighbor(r"bfd", "bfd", "bfd", 5),
    _neighbor(r"(?P<rest>bfd profile \S+)", "bfd profile", "{rest}", 6),
    Rule(r"(?P<slot>network \S+)(?: route-map \S+)?", "{slot}", "no {slot}", FAMILY, 0),
    _neighbor_family(r"prefix-list (?P<name>\S+) (?P<way>in|out)", "prefix-list {way}", "prefix-list {name} {way}", 1),
    _neighbor_family(r"route-map (?P<name>\S+) (?P<way>in|out)", "route-map {way}", "route-map {name} {way}", 1),
    _neighbor_family(r"soft-reconfiguration inbound", "soft-reconfiguration", "soft-reconfiguration inbound", 1),
    _neighbor_family(r"maximum-prefix \d.*", "maximum-prefix", "maximum-prefix", 1),
    _neighbor_family(r"maximum-prefix-out \d+", "maximum-prefix-out", "maximum-prefix-out", 1),
    _neighbor_family(r"allowas-in(?: \S+)?", "allowas-in", "allowas-in", 1),
    _neighbor_family(r"activate", "activate", "activate", 2, "session"),
    Rule(
        r"no neighbor (?P<peer>\S+) activate",
        "neighbor {peer} activate",
        "neighbor {peer} activate",
        FAMILY,
        2,
        "session",
    ),
    # What an operator's hand added to a neighbour of ours.
    Rule(r"neighbor (?P<peer>\S+) .+", "{line}", "no {line}", NEIGHBOR, 4, "session"),
    Rule(r".+", "{line}", "no {line}", ROUTER, 2),
)


@dataclass(frozen=True, slots=True)
class Meaning:
    """A line's rule with the line's own words filled in."""

    slot: str
    negation: str
    stage: int
    step: int
    disruption: Disruption
    peer: str  # empty where it is no neighbour's


@lru_cache(maxsize=65536)
def meaning(text: str) -> Meaning:
    """What a line of ours means; lines we never write get the plain `no LINE`."""
    for rule in RULES:
        if found := rule.regex.fullmatch(text):
            words = {"line": text.removeprefix("no ") if text.startswith("no ") else text, **found.groupdict()}
            negation = rule.negation.format_map(words)
            if text.startswith("no ") and negation == f"no {words['line']}":
                negation = words["line"]
            return Meaning(
                rule.slot.format_map(words),
                negation,
                rule.stage,
                rule.step,
                rule.disruption,
                words.get("peer") or "",
            )
    raise AssertionError(text)


def slot_of(line: ConfigLine) -> tuple[tuple[str, ...], str]:
    """What the line sets, and where."""
    return line.path, meaning(line.text).slot
