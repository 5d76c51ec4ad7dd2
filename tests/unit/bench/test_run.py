"""`make bench`: parts run one after the other, their figures come together, and a run is kept where that is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench import __main__ as bench
from tests.bench import compare
from tests.bench.cases import Case, Report, read_cases

FIGURES = {"first": 2.0, "second": 5.0}


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A benchmark `some` of two modules that measure FIGURES; results and the kept run in a folder of the test's."""
    built, kept = tmp_path / "built", tmp_path / "kept"
    built.mkdir()
    monkeypatch.setattr(bench, "RESULTS", built)
    monkeypatch.setattr(bench, "KEPT", kept)
    monkeypatch.setattr(compare, "KEPT", kept)
    monkeypatch.setattr(bench, "write_page", (tmp_path / "page").touch)
    parts = (bench.Part("first", lab=True, argument="lab"), bench.Part("second", lab=False, awake=True))
    monkeypatch.setattr(bench, "BENCHES", {"some": parts})
    monkeypatch.setenv("LAB_OUT", str(built))

    def run(part: bench.Part) -> int:
        if part.module not in FIGURES:
            return 3
        report = Report(part.written.stem)
        report.add(part.module, FIGURES[part.module], 10.0, "what others take")
        report.write()
        return 0

    monkeypatch.setattr(bench, "run", run)
    return tmp_path


def test_the_parts_of_a_benchmark_are_one_result_that_says_how_each_was_measured(folders: Path) -> None:
    assert bench.main(["some"]) == 0
    assert [path.name for path in (folders / "built").iterdir()] == ["some.json"]
    first, second = read_cases(folders / "built" / "some.json")
    assert (first.case, first.ours, second.case, second.ours) == ("first", 2.0, "second", 5.0)
    assert (first.environment["kept_awake"], second.environment["kept_awake"]) == (False, True)
    assert {"commit", "measured", "load_before", "kernel", "gso"} <= first.environment.keys()
    assert not (folders / "kept").exists()
    assert not (folders / "page").exists()


def test_a_run_is_kept_where_that_is_asked_and_the_next_is_compared_with_it(
    folders: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.main(["some", "--keep"]) == 0
    assert (folders / "page").exists()
    monkeypatch.setitem(FIGURES, "second", 6.0)
    capsys.readouterr()
    assert bench.main(["some", "--compare"]) == 0
    said = capsys.readouterr().out
    assert "second: ratio 0.500 -> 0.600 (+20%)" in said
    assert "first: ratio" not in said
    assert read_cases(folders / "kept" / "some.json")[1].ours == 5.0


def test_a_part_that_fails_ends_the_run_and_nothing_is_kept(
    folders: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "BENCHES", {"some": (*bench.BENCHES["some"], bench.Part("broken", lab=False))})
    assert bench.main(["some", "--keep"]) == 3
    assert "bench some: broken ended with status 3" in capsys.readouterr().err
    assert not (folders / "kept").exists()


def test_what_was_measured_in_the_lab_and_natively_stands_together() -> None:
    cases = [Case(name, 1.0, None, None, None, "s") for name in ("a", "b", "c", "c-native", "a-native", "d-native")]
    assert [case.case for case in bench.beside(cases)] == ["a", "a-native", "b", "c", "c-native", "d-native"]


def test_a_benchmark_that_does_not_exist_is_said(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["other"]) == 2
    assert "no such benchmark: other; there are: some" in capsys.readouterr().err
