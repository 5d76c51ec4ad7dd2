"""How FRR must run, as its daemons' command lines tell, or its file where those are hidden."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import pytest

from dcedge.frr.config import FrrConfig
from dcedge.frr.descriptors import Others, needs, served_for_others
from dcedge.frr.observe import OthersLines
from dcedge.frr.started import Started, start_problems, too_few_descriptors
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
 neighbor swp2 interface peer-group cloud
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
 profile fast
  transmit-interval 100
 exit
 peer 203.0.113.9 vrf red
  profile fast
 exit
 peer 203.0.113.9 local-address 203.0.113.8 interface lan0
 exit
exit
"""
VRFS = "vrf red id 7 table 10\nvrf blue id 8 table 11\nvrf lan id 9 table 12\nvrf gone inactive (configured)\n"


@dataclass
class ForeignFrr:
    """An FRR that others use too."""

    silent: frozenset[str] = frozenset()

    def vrfs(self) -> frozenset[str]:
        assert "zebra" not in self.silent, "what does not answer is waited for once, and not by this"
        return parse_vrfs(VRFS)

    def others(self) -> Others:
        """With `blue` of ours."""
        return served_for_others(cast("FrrClient", self), FrrConfig.parse(FOREIGN), {"blue"})


def test_what_others_have_in_frr_is_counted_too(router: Router) -> None:
    others = ForeignFrr().others()
    assert others.vrfs == {"red", "lan"}
    main, red = "default", "red"
    expected = {(main, "203.0.113.1"), (main, "203.0.113.2"), (main, "swp2"), (red, "203.0.113.1"), (red, "swp1")}
    assert others.configured.peers == expected
    assert others.configured.fast == {(main, "203.0.113.2"), (main, "swp2"), (red, "203.0.113.1")}
    assert len(others.configured.bfd_sessions) == 2

    ordered = interfaces_of(a=vi(1))
    enough = {need.daemon: need.count for need in needs(ordered, others)}
    alone = {need.daemon: need.count for need in needs(ordered)}
    assert enough["bgpd"] - alone["bgpd"] == 5 * 2 + 2, "five peers, and the one VRF with BGP"
    assert enough["bfdd"] - alone["bfdd"] == 5 + 2 * 6, "five sessions, and two VRFs"
    router.configured("zebra_options=--v6-rr-semantics\nMAX_FDS=108\n")
    said = " and ".join(start_problems(ordered, router.started, others))
    assert "too few for 7 BGP peers (5 of them others') in 2 VRFs of others: set" in said, said
    assert "too few for 5 BFD sessions of others in 2 VRFs of others: set" in said, said

    places = frozenset(("default", str(session.cloud)) for session in ordered[0].sessions)
    taken_over = Others(configured=OthersLines(peers=places))
    assert list(needs(ordered, taken_over)) == list(needs(ordered)), "what the order takes over is counted once"


def test_a_zebra_that_is_silent_is_not_asked_for_its_vrfs(router: Router) -> None:
    assert ForeignFrr(frozenset({"zebra"})).others().vrfs == frozenset()


def test_a_bfdd_that_neither_runs_nor_is_needed_needs_nothing(router: Router) -> None:
    router.configured("zebra_options=--v6-rr-semantics\nMAX_FDS=1024\n")
    others = Others(frozenset(f"red{number}" for number in range(200)))
    without = replace(router.started, processes={"zebra": 7, "bgpd": 8})
    assert list(start_problems(interfaces_of(a=vi(1)), without, others)) == []
    router.configured("zebra_options=--v6-rr-semantics\nbfdd=yes\n")
    assert list(start_problems(interfaces_of(a=vi(1)), without, others)), "after FRR's next start it runs"
    router.configured("zebra_options=--v6-rr-semantics\nbfdd=no\n")
    assert list(start_problems(interfaces_of(a=vi(1, bgp={"bfd": True})), without, others))
    assert list(start_problems(interfaces_of(a=vi(1)), router.started, others))


def test_what_an_order_does_not_add_to_is_no_reason_to_refuse_it(router: Router) -> None:
    router.configured("zebra_options=--v6-rr-semantics\nMAX_FDS=1024\n")
    ordered = interfaces_of(a=vi(1), b=vi(2))
    others = Others(configured=OthersLines(peers=frozenset(("default", f"10.0.{n}.1") for n in range(520))))
    assert list(too_few_descriptors(ordered, router.started, others))
    assert list(too_few_descriptors(ordered, router.started, others, ordered[:1]))
    assert list(too_few_descriptors(ordered[:1], router.started, others, ordered)) == []


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
    assert not [said for said in router.said(vrfs(100)) if "too few for 100 VRFs" in said]
    (problem,) = (said for said in router.said(vrfs(300)) if "too few for 300 VRFs" in said)
    who = "bfdd runs with" if shown else f"{router.started.file} gives FRR"
    assert problem == (
        f"{who} 1024 file descriptors, too few for 300 VRFs: set MAX_FDS=2048 in {router.started.file} and restart FRR"
    )


@pytest.mark.parametrize("option", ["--limit-fds 256", "--limit-fds=256", "--limit-fds 9999 --limit-fds 256"])
@pytest.mark.parametrize("shown", [True, False], ids=["shown", "hidden"])
def test_a_daemons_own_option_may_leave_it_fewer(router: Router, option: str, shown: bool) -> None:
    router.configured(f"bfdd_options='{option}'\nMAX_FDS=4096\n" if not shown else "MAX_FDS=4096\n")
    if shown:
        router.shows(9, "cmdline", "\0".join(("/usr/lib/frr/bfdd", *option.split())) + "\0")
        router.shows(9, "limits", f"{LIMITS}Max open files            4096       1048576       files\n")
    assert not [said for said in router.said(vrfs(20)) if "bfdd" in said]
    (problem,) = (said for said in router.said(vrfs(50)) if "bfdd" in said)
    assert problem == (
        "--limit-fds gives bfdd 256 file descriptors, too few for 50 VRFs:"
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
