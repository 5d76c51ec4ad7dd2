"""Whatever FRR's daemons print as their configuration: it is read as lines, and no secret in it shows."""

from __future__ import annotations

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

from dcedge.errors import FrrError
from dcedge.frr.config import FrrConfig, mask, render_lines
from dcedge.frr.observe import observe_frr, warnings

WORDS = st.sampled_from(
    [
        "router bgp 65010",
        "router bgp 65010 vrf x",
        "address-family ipv4 unicast",
        "exit-address-family",
        "exit",
        "end",
        "neighbor 10.0.0.1",
        "neighbor",
        "remote-as 1",
        "password s3cret",
        "description dcedge:prod-a",
        "bfd",
        "profile x",
        "ip prefix-list dcedge-x seq 5 permit any",
        "route-map dcedge-m permit 10",
        "no",
        "vrf x",
        "exit-vrf",
        "\x1b[0m",
        "é",
        "999999999999999999999",
        "::",
        "%",
        "Building configuration...",
        "dcedge-",
        "shutdown",
        "!",
        "\t",
        "  ",
        "network 192.0.2.0/24",
    ]
)
LINES = st.lists(st.lists(WORDS, max_size=5).map(" ".join), max_size=30)
INDENTED = LINES.flatmap(
    lambda lines: st.lists(st.integers(0, 4), min_size=len(lines), max_size=len(lines)).map(
        lambda depths: "\n".join(" " * depth + line for depth, line in zip(depths, lines, strict=True))
    )
)


@settings(deadline=None)
@given(st.one_of(st.text(max_size=400), INDENTED))
def test_any_text_is_read_and_written_back(text: str) -> None:
    config = FrrConfig.parse(text)
    again = FrrConfig.parse(render_lines(config.lines))
    assert again.entries <= config.entries
    assert "password s3cret" not in repr(sorted(config.lines))
    assert "password s3cret" not in mask(text)


@settings(deadline=None)
@given(INDENTED)
def test_any_configuration_can_be_observed(text: str) -> None:
    config = FrrConfig.parse(text)
    with contextlib.suppress(FrrError):
        observe_frr(config, {}, frozenset(config.lines))
    for warning in warnings(config):
        assert "password s3cret" not in warning
