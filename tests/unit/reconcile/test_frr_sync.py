"""FRR's part of a pass: what is read back, what is saved and when, and sessions whose key is not in force."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings

from dcedge.frr.config import ConfigLine
from dcedge.frr.md5 import KeyedPeer, KeySearch
from dcedge.frr.observe import observe_frr
from dcedge.frr.vty import WITHOUT_BFD, FrrClient
from dcedge.kernel.context import Failure
from dcedge.plan.diff import Plan
from dcedge.reconcile import frr_keys
from dcedge.reconcile.desired import NOTHING, Intent, Later
from dcedge.reconcile.frr_saving import SETTLED_SECONDS
from dcedge.reconcile.frr_sync import FrrSync
from dcedge.reconcile.state.formats import Pending
from dcedge.reconcile.state.store import Store
from tests.unit.bgp.fake_frr import FakeFrrClient
from tests.unit.bgp.generated import orders
from tests.unit.bgp.orders import Derived, derived, keyed, vi


@pytest.fixture(autouse=True)
def no_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every key is in force, unless a test says otherwise."""
    monkeypatch.setattr(frr_keys, "look_for_keys", lambda *_, **__: KeySearch(frozenset(), ""))


def part_of(router: FakeFrrClient, folder: Path) -> FrrSync:
    return FrrSync(cast("FrrClient", router), Store(folder))


def intent_of(order: Derived) -> Intent:
    blocks = order.blocks
    return replace(NOTHING, later_frr=Later(lambda: blocks), interfaces={one.name: one for one in order.interfaces})


def make_pass(part: FrrSync, order: Derived) -> list[Failure]:
    """A whole pass over FRR's part; the failures."""
    intent = intent_of(order)
    part.observe(intent, part.store.owned())
    todo = part.plan(intent)
    if todo:
        part.store.save_owned(part.remembered(intent, part.store.owned()))
    return part.settle(intent, todo, part.execute(todo.operations, ()) if todo else ())


ONE, OTHER = derived({"a": vi(1, bgp=keyed())}), derived({"a": vi(1, preference="backup", bgp=keyed())})
GRACEFUL = derived({"a": vi(1, bgp=keyed(graceful_restart=True))})


def test_it_is_saved_when_our_part_has_changed_and_only_then(tmp_path: Path) -> None:
    router = FakeFrrClient()
    part = part_of(router, tmp_path)
    seen = []
    for order in (ONE, ONE, OTHER, OTHER, ONE, derived({}), derived({})):
        assert make_pass(part, order) == []
        seen.append(router.saved)
    assert seen == [1, 1, 2, 2, 3, 4, 4]
    again = part_of(router, tmp_path)
    make_pass(again, derived({}))
    assert router.saved == 4, "another process knows what is saved"


def test_without_bfdd_sessions_are_made_and_changed_and_bfd_comes_with_it(tmp_path: Path) -> None:
    router = FakeFrrClient(bfdd_absence="bfdd is not running")
    part = part_of(router, tmp_path)
    with_bfd = derived({"a": vi(1, bgp={"bfd": True})})
    for order in (with_bfd, derived({"a": vi(1, preference="backup", bgp={"bfd": True})}), with_bfd):
        assert make_pass(part, order) == []
        assert not part.plan(intent_of(order))
        assert part.warnings() == ("BFD is not in force: bfdd is not running",)
    texts = {line.text for line in router.frr.lines}
    assert "bfd" not in texts
    assert any(text.startswith("neighbor 10.255.1.1 remote-as") for text in texts)
    router.bfdd_absence = ""
    assert make_pass(part, with_bfd) == []
    assert part.warnings() == ()
    assert "bfd" in {line.text for line in router.frr.lines}


def test_without_bfd_in_the_order_nobody_misses_bfdd(tmp_path: Path) -> None:
    router = FakeFrrClient(bfdd_absence="bfdd is not running")
    part = part_of(router, tmp_path)
    assert make_pass(part, ONE) == []
    assert part.warnings() == ()
    assert router.needed == WITHOUT_BFD


def test_what_waits_for_a_confirmation_is_not_saved(tmp_path: Path) -> None:
    router = FakeFrrClient()
    part = part_of(router, tmp_path)
    make_pass(part, ONE)
    part.store.pending_order.save(Pending.starting("", None, {}, 60))
    make_pass(part, OTHER)
    assert router.saved == 1
    make_pass(part, ONE)
    part.store.pending_order.drop()
    make_pass(part, ONE)
    assert router.saved == 1, "rolled back: what is saved is in force again"
    make_pass(part, OTHER)
    assert router.saved == 2


def test_a_repair_is_not_saved_as_nothing_of_ours_has_changed(tmp_path: Path) -> None:
    router = FakeFrrClient()
    part = part_of(router, tmp_path)
    make_pass(part, ONE)
    router.frr.lines.clear()
    assert make_pass(part, ONE) == []
    assert router.saved == 1


def test_what_is_saved_is_doubted_where_frr_came_up_without_our_part(tmp_path: Path) -> None:
    router = FakeFrrClient()
    part = part_of(router, tmp_path)
    make_pass(part, ONE)
    router.bgpd = 101  # with what was saved
    make_pass(part, ONE)
    assert router.saved == 1
    router.bgpd = 102  # with what somebody else had saved in its stead
    router.frr.lines.clear()
    assert make_pass(part, ONE) == []
    make_pass(part, ONE)
    assert router.saved == 2


def test_a_frr_that_has_only_just_started_is_let_read_its_file_first(tmp_path: Path) -> None:
    router = FakeFrrClient(seconds=1.0)
    part = part_of(router, tmp_path)
    make_pass(part, ONE)
    assert router.saved == 0
    assert "only just started" in part.saving.unsaved
    router.seconds = SETTLED_SECONDS + 1
    make_pass(part, ONE)
    assert (router.saved, part.saving.unsaved) == (1, "")


def test_what_waits_for_a_confirmation_is_looked_at_again_when_frr_has_read_its_file(tmp_path: Path) -> None:
    router = FakeFrrClient(seconds=1.0)
    part = part_of(router, tmp_path)
    part.store.pending_order.save(Pending.starting("", None, {}, 60))
    make_pass(part, ONE)
    assert "only just started" in part.saving.unsaved
    router.seconds = SETTLED_SECONDS + 1
    make_pass(part, ONE)
    assert (router.saved, part.saving.unsaved) == (0, "")


def test_a_frr_that_reads_graceful_sessions_from_its_file_is_not_configured_beside_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr("dcedge.reconcile.frr_sync.time", SimpleNamespace(monotonic=lambda: clock[0]))
    router = FakeFrrClient()
    part = part_of(router, tmp_path)
    make_pass(part, GRACEFUL)
    ours = sorted(router.frr.lines)

    def restarted(seconds: float, lines: int) -> None:
        router.seconds, router.bgpd, router.frr.lines = seconds, router.bgpd + 1, set(ours[:lines])

    for seconds, lines, waits in (
        (1.0, 0, True),
        (5.0, 3, True),
        (SETTLED_SECONDS + 1, 4, True),  # lines still come
        (SETTLED_SECONDS + 2, 5, True),
        (SETTLED_SECONDS + 8, 5, False),  # and no more do
    ):
        clock[0] = 2000.0 + seconds
        restarted(seconds, lines)
        assert make_pass(part, GRACEFUL) == []
        assert (part.observed.blocks is None) is waits, seconds
        assert ("still reads" in part.observed.detail) is waits
        assert (len(router.frr.lines) == lines) is waits
    make_pass(part, GRACEFUL)
    assert router.saved == 2, "it came up without all of our part: others have saved theirs"
    restarted(1.0, len(ours))
    for order in (OTHER, GRACEFUL, OTHER):
        make_pass(part, order)
        assert part.observed.blocks == order.blocks, "it has read the file: new orders need not wait"


def test_a_frr_without_graceful_sessions_is_configured_at_once(tmp_path: Path) -> None:
    router = FakeFrrClient()
    part = part_of(router, tmp_path)
    make_pass(part, ONE)
    router.seconds, router.bgpd = 1.0, 101
    router.frr.lines.clear()
    make_pass(part, ONE)
    assert part.observed.blocks == ONE.blocks


def test_without_frr_nothing_is_planned_and_nothing_saved(tmp_path: Path) -> None:
    router = FakeFrrClient(absent=True)
    part = part_of(router, tmp_path)
    assert make_pass(part, ONE) == []
    assert (part.observed.blocks, part.observed.detail, router.saved) == (None, "bgpd is not running", 0)
    router.absent = False
    assert make_pass(part, ONE) == []
    assert router.saved == 1


def test_a_session_without_its_key_is_a_failure_and_held_shut_until_it_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    router = FakeFrrClient()
    part = part_of(router, tmp_path)
    peer = KeyedPeer("a", "router bgp 65010", None, ip_address("10.255.1.1"))
    refused = {peer}

    def look_for_keys(*_: object, **__: object) -> KeySearch:
        return KeySearch(frozenset(refused), "")

    def secure(frr: FakeFrrClient, *_: object) -> frozenset[KeyedPeer]:
        frr.apply(f"router bgp 65010\n {'' if refused else 'no '}neighbor 10.255.1.1 shutdown\nexit\n")
        return frozenset(refused)

    monkeypatch.setattr(frr_keys, "look_for_keys", look_for_keys)
    monkeypatch.setattr(frr_keys, "secure", secure)
    for _ in range(2):
        (failure,) = make_pass(part, ONE)
        assert failure.operation.affects == ("a",)
        assert "TCP-MD5 key of 10.255.1.1" in failure.text
        assert "s3cret" not in failure.text + failure.operation.describe()
        assert part.plan(intent_of(ONE)) == Plan(()), "what is held shut is not opened by the next pass"
    assert router.saved == 0
    refused.clear()
    assert make_pass(part, ONE) == []
    assert not any(line.text.endswith(" shutdown") for line in router.frr.lines)
    assert router.saved == 1


def test_who_needs_no_key_any_more_is_not_held_shut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = part_of(FakeFrrClient(), tmp_path)
    peer = KeyedPeer("a", "router bgp 65010", None, ip_address("10.255.1.1"))
    monkeypatch.setattr(frr_keys, "look_for_keys", lambda *_, **__: KeySearch(frozenset({peer}), ""))
    monkeypatch.setattr(frr_keys, "secure", lambda *_: frozenset({peer}))
    assert make_pass(part, ONE)
    monkeypatch.setattr(frr_keys, "look_for_keys", lambda *_, **__: KeySearch(frozenset(), ""))
    plain = derived({"a": vi(1)})
    assert not any(entry.endswith(" shutdown") for b in part.intended(intent_of(plain)).values() for entry in b.entries)
    assert make_pass(part, plain) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=orders(), after=orders())
def test_what_was_read_back_is_what_a_look_at_everything_sees(
    tmp_path_factory: pytest.TempPathFactory, before: Derived, after: Derived
) -> None:
    part = part_of(router := FakeFrrClient(), tmp_path_factory.mktemp("state"))
    for order in (before, before, after, before):
        owned = part.store.owned().frr_lines
        part.observe(intent_of(order), part.store.owned())
        assert part.observed.blocks == observe_frr(router.running_config(), order.blocks, owned)
        assert make_pass(part, order) == []
        owned = part.store.owned().frr_lines
        assert part.observed.blocks == observe_frr(router.running_config(), order.blocks, owned)


def test_an_order_that_gives_a_line_to_another_is_looked_at_anew(tmp_path: Path) -> None:
    part = part_of(router := FakeFrrClient(), tmp_path)
    assert make_pass(part, ONE) == []
    renamed = derived({"b": vi(1, bgp=keyed())})
    for order in (derived({"a": vi(1, bgp=keyed(receive_limit=7))}), renamed, ONE):
        owned = part.store.owned()
        part.observe(intent_of(order), owned)
        assert part.observed.blocks == observe_frr(router.running_config(), order.blocks, owned.frr_lines)
        assert make_pass(part, order) == []


def test_what_other_daemons_still_have_of_ours_is_taken_out_of_them_before_it_is_saved(tmp_path: Path) -> None:
    router = FakeFrrClient()
    part = part_of(router, tmp_path)
    both, one = derived({"a": vi(1), "b": vi(2, preference="backup")}), derived({"a": vi(1)})
    make_pass(part, both)
    by_hand = ConfigLine((), "ip prefix-list by-hand seq 5 permit 10.0.0.0/8")
    policies = {line for line in router.frr.lines if line.text.startswith(("ip prefix-list", "route-map"))}
    router.zebra.lines = {*policies, by_hand}  # FRR was started with the file
    make_pass(part, one)
    assert by_hand in router.zebra.lines
    ours = router.zebra.lines - {by_hand}
    assert ours
    assert ours <= router.frr.lines
