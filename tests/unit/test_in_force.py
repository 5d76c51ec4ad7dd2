"""Which order is in force: what start, reload and apply take, and what they leave as it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dcedge.cli.refusal import refusal
from dcedge.order.findings import OrderInvalidError
from dcedge.order.load import Loaded, digest_of
from dcedge.reconcile.in_force import OrderInForce
from dcedge.reconcile.state import writer_lock
from dcedge.reconcile.state.formats import Pending, Runtime
from dcedge.reconcile.state.store import Store
from dcedge.settings import Settings
from tests.unit.order.test_removal import ordered

FOUR = ordered(dict.fromkeys(range(4), "bgp"))
TWO = "# two of them are not needed any more\n" + ordered(dict.fromkeys(range(2), "bgp"))
OTHERS = "# others\n" + ordered(dict.fromkeys(range(10, 14), "bgp"))
CUT = ordered(dict.fromkeys(range(3), "bgp"))
REFUSED = {
    TWO: "removes 2 of 4 virtual interfaces in force (removed: vi-02, vi-03)",
    OTHERS: "removes 4 of 4 virtual interfaces in force",
    CUT: "is cut: it is the last good order without the last 8 lines",
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(order=tmp_path / "order.yaml", state_dir=tmp_path / "state", socket=tmp_path / "none")


@pytest.fixture
def store(settings: Settings) -> Store:
    return Store(settings.state_dir)


def in_force(settings: Settings, text: str) -> OrderInForce:
    """A router with this order in force."""
    settings.order.write_text(text)
    made = OrderInForce(settings, Store(settings.state_dir))
    made.start()
    made.store.orders.save_last_good(text)
    return made


def text_of(loaded: Loaded | None) -> str:
    assert loaded is not None
    return loaded.text


@pytest.mark.parametrize("text", REFUSED)
def test_a_start_keeps_the_last_good_order_and_says_why(settings: Settings, text: str) -> None:
    in_force(settings, FOUR)
    settings.order.write_text(text)
    restarted = OrderInForce(settings, Store(settings.state_dir))
    assert restarted.start().text == FOUR
    assert len(restarted.problems) == 1
    assert restarted.problems[0].startswith(f"{settings.order}: {REFUSED[text]}")


@pytest.mark.parametrize("text", REFUSED)
def test_a_reload_is_refused_like_one_of_a_bad_order(settings: Settings, text: str) -> None:
    router = in_force(settings, FOUR)
    settings.order.write_text(text)
    with pytest.raises(OrderInvalidError) as refused:
        router.read_file()
    assert str(refused.value).startswith(f"{settings.order}: {REFUSED[text]}")
    assert text_of(router.loaded) == FOUR


@pytest.mark.parametrize(("text", "number"), [(TWO, 2), (OTHERS, 4), (CUT, 1)])
def test_an_apply_takes_it_with_just_the_number_that_goes(settings: Settings, text: str, number: int) -> None:
    router = in_force(settings, FOUR)
    for said in (None, number - 1, number + 1):
        with pytest.raises(OrderInvalidError, match=f"`dcedge apply --allow-removal {number}`"):
            router.read_text(text, said)
    router.take(router.read_text(text, number))
    assert text_of(router.loaded) == text


def test_what_was_allowed_once_is_the_order_to_compare_with(settings: Settings) -> None:
    router = in_force(settings, FOUR)
    router.take(router.read_text(TWO, 2))
    router.store.orders.save_last_good(TWO)
    settings.order.write_text(TWO)
    assert router.read_file().text == TWO
    restarted = OrderInForce(settings, Store(settings.state_dir))
    assert restarted.start().text == TWO
    assert restarted.problems == ()


def test_a_running_router_compares_with_what_is_in_force_whatever_was_written_down(settings: Settings) -> None:
    router = in_force(settings, FOUR)
    router.store.orders.save_last_good(TWO)
    with pytest.raises(OrderInvalidError, match="2 of 4"):
        router.read_text(TWO)


def test_going_back_is_never_refused(settings: Settings) -> None:
    router = in_force(settings, FOUR)
    for text in REFUSED:
        assert router.read_back(text).text == text


def test_an_order_that_waits_for_its_confirmation_is_resumed_whatever_it_removes(
    settings: Settings, store: Store
) -> None:
    in_force(settings, FOUR)
    store.pending_order.save(Pending.starting(TWO, FOUR, {}, 300))
    restarted = OrderInForce(settings, Store(settings.state_dir))
    assert restarted.start().text == TWO
    assert restarted.problems == ()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_an_order_that_was_rolled_back_is_refused_as_that(settings: Settings, store: Store, encoding: str) -> None:
    router = in_force(settings, FOUR)
    store.save_runtime(Runtime(rejected=frozenset({digest_of(router.read_back(TWO).text)})))
    settings.order.write_text(TWO, encoding=encoding)
    with pytest.raises(OrderInvalidError, match="rolled back"):
        router.read_file()


def test_what_may_have_been_rolled_back_does_not_come_back_where_that_is_not_known_any_more(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_lock, "RUN_FOLDER", settings.state_dir.parent / "run")
    router = in_force(settings, TWO)
    router.store.orders.save_rolled_back(TWO, FOUR)
    settings.order.write_text(FOUR)
    (settings.state_dir / "runtime.json").write_text("{")
    for why in ("which orders were rolled back is not known any more", "this order was rolled back"):
        restarted = OrderInForce(settings, Store(settings.state_dir))
        with restarted.store.writer():
            assert restarted.start().text == TWO
            assert why in "".join(restarted.problems)
            with pytest.raises(OrderInvalidError, match="rolled back"):
                restarted.read_file()
            assert restarted.read_text(FOUR).text == FOUR, "somebody asks for it now"


def test_the_order_in_force_stays_where_it_is_not_known_which_were_rolled_back(settings: Settings) -> None:
    in_force(settings, TWO)
    (settings.state_dir / "runtime.json").write_text("{")
    restarted = OrderInForce(settings, Store(settings.state_dir))
    assert restarted.start().text == TWO
    assert restarted.problems == ()


def test_the_first_order_is_compared_with_nothing(settings: Settings) -> None:
    settings.order.write_text(TWO)
    assert OrderInForce(settings, Store(settings.state_dir)).start().text == TWO


@pytest.mark.parametrize(
    "damage", [b"router: {", b"\xff\xfe\xff", b"router: {asn: 65010}\nsteering: {}\n"], ids=["cut", "bytes", "newer"]
)
def test_a_last_good_order_that_cannot_be_read_keeps_no_good_file_from_being_taken(
    settings: Settings, store: Store, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    in_force(settings, FOUR)
    store.orders.last_good_file.write_bytes(damage)
    settings.order.write_text(TWO)
    made = Store(settings.state_dir)
    with made.writer():
        assert OrderInForce(settings, made).start().text == TWO
    assert re.search("last good order cannot be read|last-good-order.yaml was damaged", caplog.text), caplog.text


@pytest.mark.parametrize("text", REFUSED)
def test_who_asks_before_is_told_what_would_be_refused(settings: Settings, text: str) -> None:
    router = in_force(settings, FOUR)
    said = refusal(settings, router.read_back(text))
    assert said is not None
    assert said.severity == "warning"
    assert said.message.startswith(f"would be refused beside the order in force: {REFUSED[text]}")
    assert refusal(settings, router.read_back("# the same\n" + FOUR)) is None


def test_who_asks_where_nothing_is_known_is_told_nothing(settings: Settings) -> None:
    settings.order.write_text(TWO)
    loaded = OrderInForce(settings, Store(settings.state_dir)).read_file()
    assert refusal(settings, loaded) is None
    assert not settings.state_dir.exists()
