"""Configuration lines go to the daemon that needs them; what each refuses is told line by line, without secrets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from dcedge.errors import FrrUnavailableError
from dcedge.frr.feed import PIECE_LINES, FrrRejectedError, blocks_of, pieces_of
from dcedge.frr.vty import FrrClient
from tests.unit.bgp.test_vty import daemon, says


def answers(_command: str) -> bytes:
    """What a daemon says that has nothing to say."""
    return says("")


class Heard:
    """A daemon's answers by what a command begins with, and all that it was told to configure."""

    def __init__(self, refusals: Mapping[str, tuple[str, int]] = MappingProxyType({})) -> None:
        self.refusals = refusals
        self.configured: list[str] = []
        self.configures = False

    def __call__(self, command: str) -> bytes:
        if command == "configure terminal":
            self.configures = True
        elif self.configures:
            self.configured.append(command)
        for words, (text, status) in self.refusals.items():
            if command.startswith(words):
                return says(text, status)
        return says("")


def feed(folder: Path, text: str, bgpd: Heard, bfdd: Heard | None = None) -> None:
    """Have a client configure fake daemons."""
    with (
        daemon(folder, "zebra", answers),
        daemon(folder, "bfdd", bfdd or Heard(), connections=2),
        daemon(folder, "bgpd", bgpd, connections=2),
    ):
        FrrClient(run_folder=folder).apply(text)


def test_each_line_goes_to_the_daemon_that_needs_it_and_to_no_other(tmp_path: Path) -> None:
    bgpd, bfdd = Heard(), Heard()
    profile = "bfd\n profile p\n  detect-multiplier 5\n"
    policy = "ip prefix-list l seq 5 permit 10.0.0.0/8\nroute-map m permit 10\n match ip address prefix-list l\n"
    router = "router bgp 65010\n neighbor 10.0.0.1 remote-as 64512\nexit\n"
    feed(tmp_path, policy + profile + router, bgpd, bfdd)
    for heard, told in ((bfdd, profile), (bgpd, policy + router)):
        lines = [line for line in heard.configured if not line.startswith("XFRR_")]
        assert lines == [*(line.strip() for line in told.splitlines()), "end"]


def test_a_refused_line_is_told_with_the_daemons_own_reason_and_the_others_are_applied(tmp_path: Path) -> None:
    bgpd = Heard(
        {
            "nonsense": ("% [BGP] Unknown command: nonsense\n", 2),
            "neighbor 10.0.0.1 password": ("% Invalid value\n", 13),
        }
    )
    text = "router bgp 65010\n neighbor 10.0.0.1 password s3cret\n nonsense\n neighbor 10.0.0.1 shutdown\nexit\n"
    with pytest.raises(FrrRejectedError) as refused:
        feed(tmp_path, text, bgpd)
    first, second = refused.value.failures
    assert str(first) == "`neighbor 10.0.0.1 password ***`: Invalid value"
    assert str(second) == "`nonsense`: [BGP] Unknown command"
    assert "neighbor 10.0.0.1 shutdown" in bgpd.configured
    assert "s3cret" not in f"{refused.value}"


def test_a_line_that_is_echoed_shows_no_secret(tmp_path: Path) -> None:
    line = "neighbor 10.0.0.1 password s3cret"
    bgpd = Heard({"neighbor": (f"% [BGP] Unknown command: {line}\n", 2)})
    with pytest.raises(FrrRejectedError) as refused:
        feed(tmp_path, f"router bgp 65010\n {line}\nexit\n", bgpd)
    assert "s3cret" not in str(refused.value)


def test_what_stands_in_a_refused_context_is_not_fed_into_another(tmp_path: Path) -> None:
    bgpd = Heard({"router": ("BGP is already running; AS is 65011\n", 13)})
    text = "router bgp 65010\n neighbor 10.0.0.1 remote-as 64512\nexit\nroute-map m permit 10\n set metric 7\n"
    with pytest.raises(FrrRejectedError, match="AS is 65011") as refused:
        feed(tmp_path, text, bgpd)
    assert len(refused.value.failures) == 1
    assert not [line for line in bgpd.configured if line.startswith(("neighbor", "exit"))]
    assert "set metric 7" in bgpd.configured


def test_what_a_daemon_remarks_on_a_line_that_it_takes_is_no_refusal(tmp_path: Path) -> None:
    notes = "% Configuration applied with notes:\nGraceful restart configuration changed, reset this peer\n"
    bgpd = Heard({"neighbor": (notes, 0)})
    feed(tmp_path, "router bgp 65010\n neighbor 10.0.0.1 graceful-restart\nexit\n", bgpd)
    assert "neighbor 10.0.0.1 graceful-restart" in bgpd.configured


def test_a_long_list_is_committed_in_pieces_that_no_context_is_cut_by() -> None:
    entries = "".join(f"ip prefix-list l seq {n} permit 10.0.{n}.0/24\n" for n in range(450))
    maps = "".join(f"route-map m{n} permit 10\n set metric 7\n set local-preference 5\n" for n in range(90))
    for text in (entries, maps):
        pieces = list(pieces_of(blocks_of(text)))
        assert "".join(f"{line}\n" for piece in pieces for block in piece for line in block.lines) == text
        assert max(sum(len(block.lines) for block in piece) for piece in pieces) <= PIECE_LINES + 2
        assert not any(piece[0].lines[0].startswith(" ") for piece in pieces)


def test_a_commit_that_fails_is_tried_again_line_by_line(tmp_path: Path) -> None:
    bgpd = Heard({"XFRR_end": ("% Configuration failed.\n", 0), "ip prefix-list bad": ("% Invalid prefix\n", 13)})
    text = "ip prefix-list bad seq 5 permit any\nip prefix-list good seq 5 permit any\n"
    with pytest.raises(FrrRejectedError, match="`ip prefix-list bad seq 5 permit any`: Invalid prefix") as refused:
        feed(tmp_path, text, bgpd)
    assert len(refused.value.failures) == 1
    assert bgpd.configured.count("ip prefix-list good seq 5 permit any") == 2


def test_a_configuration_that_somebody_has_locked_is_waited_for(tmp_path: Path) -> None:
    bgpd = Heard({"configure": ("VTY configuration is locked by other VTY\n", 13)})
    with pytest.raises(FrrUnavailableError, match="bgpd cannot be configured now: VTY configuration is locked"):
        feed(tmp_path, "router bgp 65010\nexit\n", bgpd)
    assert bgpd.configured == []


def test_a_daemon_that_goes_away_in_the_middle_is_named_without_the_secret(tmp_path: Path) -> None:
    def dies(command: str) -> bytes | None:
        return None if "password" in command else says("")

    with (
        daemon(tmp_path, "zebra", answers),
        daemon(tmp_path, "bfdd", answers),
        daemon(tmp_path, "bgpd", dies, connections=2),
        pytest.raises(FrrUnavailableError, match=r"bgpd went away at `neighbor 10\.0\.0\.1 password ") as gone,
    ):
        FrrClient(run_folder=tmp_path).apply("router bgp 65010\n neighbor 10.0.0.1 password s3cret\nexit\n")
    assert "s3cret" not in str(gone.value)
