"""Transitions on disk: nothing is lost by a kill, and the file never outgrows its bound."""

from __future__ import annotations

from pathlib import Path

import pytest

from dcedge.errors import StateError
from dcedge.monitor.health.history import HistoryFile
from dcedge.monitor.health.tracker import KEPT, Tracker, Transition
from dcedge.monitor.health.verdict import Verdict

UP = Verdict("up", "as ordered")
DOWN = Verdict("down", "no carrier", "carrier", "line")


def test_a_restart_goes_on_where_the_last_run_ended(tmp_path: Path) -> None:
    path, first = tmp_path / "history.jsonl", Tracker()
    for second in range(6):
        first.feed("prod-a", DOWN if second % 2 else UP, second * 10)
        HistoryFile(path).append(first.take_new(), first.histories)
    second_run = Tracker()
    second_run.restore(HistoryFile(path).read(60))
    assert second_run.history("prod-a") == first.history("prod-a")
    assert second_run.since("prod-a") == first.since("prod-a")


def test_the_file_is_bounded_and_what_is_kept_survives_its_rewriting(tmp_path: Path) -> None:
    path, tracker = tmp_path / "history.jsonl", Tracker()
    file = HistoryFile(path, bytes_max=40_000)
    tracker.feed("prod-a", DOWN, 0)
    sizes = []
    for second in range(2000):
        tracker.feed("prod-a", DOWN if second % 2 else Verdict("pending", "x" * 500), second)
        file.append(tracker.take_new(), tracker.histories)
        sizes.append(path.stat().st_size)
    assert max(sizes) < 41_000
    read = file.read(2000)["prod-a"][-200:]
    assert [t.at for t in read] == [t.at for t in tracker.history("prod-a")]


def test_a_torn_or_foreign_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    HistoryFile(path).append([("prod-a", Transition(5, "up", "down", "no carrier"))], dict)
    with path.open("a") as file:
        file.write('["prod-a", 6, "down", "up"]\n{"x": 1}\n["prod-a", "7", "down", "up", ""]\nnull\n5\n')
        file.write('["a", 1, [], "up", "x"]\n["prod-a", 7, "do')
    assert HistoryFile(path).read(10) == {"prod-a": [Transition(5, "up", "down", "no carrier")]}


def test_root_writes_through_no_link_that_the_folders_user_made(tmp_path: Path) -> None:
    (tmp_path / "passwd").write_text("root:x:0:0\n")
    new = [("prod-a", Transition(5, "up", "down", "no carrier"))]
    for made, link in (("symbolic", Path.symlink_to), ("hard", Path.hardlink_to)):
        path = tmp_path / f"{made}.jsonl"
        link(path, tmp_path / "passwd")
        with pytest.raises(StateError):
            HistoryFile(path).append(new, dict)
        with pytest.raises(StateError):
            HistoryFile(path).read(10)
    path = tmp_path / "history.jsonl"
    (tmp_path / ".history.jsonl.new").symlink_to(tmp_path / "passwd")
    HistoryFile(path, bytes_max=1).append(new, lambda: {"prod-a": [new[0][1]]})
    assert HistoryFile(path).read(10) == {"prod-a": [new[0][1]]}
    assert (tmp_path / "passwd").read_text() == "root:x:0:0\n"


def test_a_day_is_kept_and_the_transition_before_it(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    ats = [0, 10, KEPT, KEPT + 20]
    HistoryFile(path).append([("prod-a", Transition(at, "up", "down", "")) for at in ats], dict)
    assert [t.at for t in HistoryFile(path).read(KEPT + 15)["prod-a"]] == [10, KEPT, KEPT + 20]


def test_no_file_is_no_history(tmp_path: Path) -> None:
    assert HistoryFile(tmp_path / "none").read(0) == {}


def test_what_is_larger_than_any_history_is_not_read_and_makes_way_for_one(tmp_path: Path) -> None:
    path, new = tmp_path / "history.jsonl", [("prod-a", Transition(5, "up", "down", "no carrier"))]
    path.write_text("x" * 201)
    file = HistoryFile(path, bytes_max=100)
    with pytest.raises(StateError, match="larger than"):
        file.read(10)
    file.append([], lambda: {"prod-a": [new[0][1]]})
    assert file.read(10) == {"prod-a": [new[0][1]]}
