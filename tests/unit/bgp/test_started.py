"""How FRR must run, as its daemons' command lines tell, or its file where those are hidden."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import pytest

from dcedge.frr.config import FrrConfig
from dcedge.frr.descriptors import Others, needs, served_for_others
from dcedge.frr.started import Started, start_problems
from dcedge.frr.state import parse_vrfs
from dcedge.frr.vty import FrrClient
from dcedge.order.resolve import ResolvedInterface
from tests.unit.kernel.orders import interfaces_of, vi

TWO_PATHS = interfaces_of(a=vi(1), b=vi(2, preference="backup"))
GRACEFUL = interfaces_of(a=vi(1, bgp={"graceful_restart": True}), b=vi(2, gateway="dev"), gateways={
    name: {"vpc": name, "asn": 64512, "accept": "any"} for name in ("prod", "dev")
})  # fmt: skip


@dataclass
class Router:
    """A router's /proc and FRR's file; zebra, bgpd and bfdd are processes 7, 8 and 9."""

    folder: Path

    @property
    def started(self) -> Started:
        return Started({"zebra": 7, "bgpd": 8, "bfdd": 9}, self.folder / "frr" / "daemons", self.folder / "proc")

    def shows(self, process: int, name: str, text: str) -> None:
        (self.folder / "proc" / str(process)).mkdir(parents=True, exist_ok=True)
        (self.folder / "proc" / str(process) / name).write_text(text)

    def configured(self, text: str) -> None:
        self.started.file.parent.mkdir(exist_ok=True)
        self.started.file.write_text(text)

    def said(self, interfaces: Sequence[ResolvedInterface]) -> list[str]:
        return list(start_problems(interfaces, self.started))


@pytest.fixture
def router(tmp_path: Path) -> Router:
    return Router(tmp_path)


def many(count: int) -> list[ResolvedInterface]:
    """So many BGP peers, two a virtual interface."""
    return interfaces_of(a=vi(1)) * (count // 2)


@pytest.mark.parametrize(
    ("options", "interfaces", "complains"),
    [
        ("-A 127.0.0.1", TWO_PATHS, "add --v6-rr-semantics"),
        ("-A 127.0.0.1 --v6-rr-semantics", TWO_PATHS, None),
        ("-A 127.0.0.1", TWO_PATHS[:1], None),
        ("-s 90000000", GRACEFUL, "add -r -K 120"),
        ("-r", GRACEFUL, "add -r -K 120"),
        ("-K 120", GRACEFUL, "add -r -K 120"),
        ("-r -K 120", GRACEFUL, None),
        ("--retain --graceful_restart=60", GRACEFUL, None),
        ("-K60 -r", GRACEFUL, None),
    ],
)
@pytest.mark.parametrize("hidden", [False, True], ids=["shown", "hidden"])
def test_zebras_options_are_seen_in_proc_or_in_the_file(
    router: Router, options: str, interfaces: list[ResolvedInterface], complains: str | None, hidden: bool
) -> None:
    if hidden:
        router.configured(f'zebra_options="{options}"\n')
    else:
        router.shows(7, "cmdline", "\0".join(["/usr/lib/frr/zebra", *options.split(), ""]))
        router.configured('zebra_options="-r -K 120 --v6-rr-semantics"\n')  # since it was started
    said = router.said(interfaces)
    assert len(said) == (complains is not None)
    assert complains is None or complains in said[0]


def test_what_cannot_be_checked_is_said_plainly(router: Router) -> None:
    for text, why in (
        (None, "cannot be read (`chmod g+x"),
        (". /etc/default/frr\n", "has more than variable assignments"),
    ):
        if text is not None:
            router.configured(text)
        for interfaces in (TWO_PATHS, GRACEFUL, many(1000)):
            said = router.said(interfaces)
            assert said
            assert all("cannot be checked" in one and why in one for one in said), said


def test_nothing_is_said_where_nothing_depends_on_it(router: Router) -> None:
    assert router.said(interfaces_of(a=vi(1))) == []
    assert list(start_problems(GRACEFUL, Started({}, router.started.file, router.started.proc))) == []


def test_too_few_descriptors_are_complained_of(router: Router) -> None:
    limits = "Limit                     Soft Limit           Hard Limit           Units\n"
    router.shows(8, "limits", f"{limits}Max open files            1024                 1048576              files\n")
    router.shows(7, "cmdline", "zebra\0--v6-rr-semantics\0")
    router.configured("MAX_FDS=4096\n")
    assert router.said(many(100)) == []
    (problem,) = router.said(many(1000))
    assert problem.startswith("bgpd runs with 1024 file descriptors, too few for 1000 BGP peers: set MAX_FDS=4096")
    (router.folder / "proc" / "8" / "limits").unlink()
    assert router.said(many(1000)) == []
    router.configured("bgpd=yes\n")
    (problem,) = router.said(many(1000))
    assert f"{router.started.file} gives FRR 1024 file descriptors" in problem


FOREIGN = """\
router bgp 65010
 neighbor cloud peer-group
 neighbor cloud bfd
 neighbor 203.0.113.1 remote-as 64999
 neighbor 203.0.113.2 peer-group cloud
 neighbor 198.51.100.1 remote-as 64512
 neighbor 198.51.100.1 description dcedge:b
 address-family ipv4 unicast
  neighbor 203.0.113.1 activate
 exit-address-family
exit
router bgp 65010 vrf red
 neighbor 203.0.113.1 remote-as 64999
 neighbor 203.0.113.1 bfd profile fast
 neighbor swp1 interface remote-as external
exit
bfd
 peer 203.0.113.9 vrf red
 exit
 peer 203.0.113.9 local-address 203.0.113.8 interface lan0
 exit
exit
"""
BY_HAND = {("red", "203.0.113.9"), ("default", "203.0.113.9")}
VRFS = "vrf red id 7 table 10\nvrf dcedge-blue id 8 table 11\nvrf gone inactive (configured)\n"


class ForeignFrr:
    """An FRR that others use too."""

    def running_config(self) -> FrrConfig:
        return FrrConfig.parse(FOREIGN)

    def vrfs(self) -> frozenset[str]:
        return parse_vrfs(VRFS)


def test_what_others_have_in_frr_is_counted_too(router: Router) -> None:
    others = served_for_others(cast("FrrClient", ForeignFrr()), {"dcedge-blue"})
    assert others.vrfs == {"red"}
    default = {("default", peer) for peer in ("203.0.113.1", "203.0.113.2")}
    assert others.peers == {*default, ("red", "203.0.113.1"), ("red", "swp1"), *BY_HAND}
    assert others.fast == {("default", "203.0.113.2"), ("red", "203.0.113.1"), *BY_HAND}

    ordered = interfaces_of(a=vi(1))
    sessions = len(ordered[0].sessions)
    enough = {need.daemon: need.count for need in needs(ordered, others)}
    alone = {need.daemon: need.count for need in needs(ordered)}
    assert enough["bgpd"] - alone["bgpd"] >= 6
    assert enough["bfdd"] - alone["bfdd"] >= 10
    router.configured("zebra_options=--v6-rr-semantics\nMAX_FDS=108\n")
    said = list(start_problems(ordered, router.started, others))
    assert any(f"{sessions + 6} BGP peers (6 of them others') in 1 VRF (1 of them others')" in one for one in said), (
        said
    )
    known = Others(peers=frozenset({("default", str(session.cloud)) for session in ordered[0].sessions}))
    assert list(needs(ordered, known)) == list(needs(ordered)), "what the order takes over is counted once"


LIMITS = "Limit                     Soft Limit           Hard Limit           Units\n"


def vrfs(count: int) -> list[ResolvedInterface]:
    """So many VRFs, a virtual interface with two sessions in each."""
    (one,) = interfaces_of(a=vi(1))
    return [replace(one, vrf=f"vrf-{number}") for number in range(count)]


@pytest.mark.parametrize("shown", [True, False], ids=["shown", "hidden"])
def test_bfdd_is_counted_too_a_vrf_takes_more_of_it_than_a_session(router: Router, shown: bool) -> None:
    """With the default of 1,024 it aborts when it hears of the 169th VRF, and BFD is gone for the whole router."""
    router.configured("zebra_options=--v6-rr-semantics\n" + ("" if shown else "MAX_FDS=1024\n"))
    for process in (8, 9) if shown else ():
        limit = 100_000 if process == 8 else 1024
        router.shows(process, "limits", f"{LIMITS}Max open files            {limit}       1048576       files\n")
    assert not [said for said in router.said(vrfs(100)) if "bfdd" in said or "BFD" in said]
    (problem,) = (said for said in router.said(vrfs(300)) if "BFD" in said)
    who = "bfdd runs with" if shown else f"{router.started.file} gives FRR"
    assert problem == (
        f"{who} 1024 file descriptors, too few for 0 BFD sessions in 300 VRFs:"
        f" set MAX_FDS=2048 in {router.started.file} and restart FRR"
    )


@pytest.mark.parametrize("option", ["--limit-fds 256", "--limit-fds=256", "--limit-fds 9999 --limit-fds 256"])
@pytest.mark.parametrize("shown", [True, False], ids=["shown", "hidden"])
def test_a_daemons_own_option_may_leave_it_fewer(router: Router, option: str, shown: bool) -> None:
    router.configured(f"bfdd_options='{option}'\nMAX_FDS=4096\n" if not shown else "MAX_FDS=4096\n")
    if shown:
        router.shows(9, "cmdline", "\0".join(("/usr/lib/frr/bfdd", *option.split())) + "\0")
        router.shows(9, "limits", f"{LIMITS}Max open files            4096       1048576       files\n")
    assert not [said for said in router.said(vrfs(20)) if "BFD" in said]
    (problem,) = (said for said in router.said(vrfs(50)) if "BFD" in said)
    assert problem == (
        "--limit-fds gives bfdd 256 file descriptors, too few for 0 BFD sessions in 50 VRFs:"
        f" set bfdd_options to --limit-fds 512 in {router.started.file} and restart FRR"
    )


def test_an_option_gives_a_daemon_no_more_than_its_process_may_have(router: Router) -> None:
    router.configured("zebra_options=--v6-rr-semantics\n")
    router.shows(9, "cmdline", "/usr/lib/frr/bfdd\0--limit-fds\x009999\0")
    router.shows(9, "limits", f"{LIMITS}Max open files            1024       1048576       files\n")
    assert any("bfdd runs with 1024 file descriptors" in said for said in router.said(vrfs(300)))


def test_sessions_with_bfd_are_counted(router: Router) -> None:
    router.configured("zebra_options=--v6-rr-semantics\nMAX_FDS=4096\n")
    assert router.said(many(1900)) == []
    fast = interfaces_of(a=vi(1, bgp={"bfd": True})) * 2500
    assert any("too few for 5000 BFD sessions" in said for said in router.said(fast))
    router.configured("zebra_options=--v6-rr-semantics\nMAX_FDS=16384\n")
    assert router.said(fast) == []
