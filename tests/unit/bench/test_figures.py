"""What a benchmark says of its figures: a cut-off as a cut-off, what it was measured on, what changed since."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench import compare, machine
from tests.bench.bounds import beyond
from tests.bench.cases import Case, Report, read_cases, write_cases
from tests.bench.report import NAMES, NOT_KEPT, page, table

RATED = Case("change-one-1000", 2.0, 10.0, "frr-reload.py --reload", 0.2, "s")
STOPPED = Case("remove-50-of-100", 0.3, 120.0, "frr-reload.py --reload", 0.0025, "s", reference_at_least=True)
ALONE = Case("rss-50", 60.0, None, None, None, "MB")


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where reports go."""
    monkeypatch.setenv("LAB_OUT", str(tmp_path))
    return tmp_path


def test_a_reference_that_was_stopped_is_said_in_text_and_json(
    written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = Report("some")
    report.add("remove-50", 0.3, 120.0, "frr-reload.py", at_least=True)
    report.add("remove-one", 0.3, 3.0, "frr-reload.py")
    report.write()
    stopped, done = json.loads((written / "some.json").read_text())
    assert (stopped["reference_at_least"], done["reference_at_least"]) == (True, False)
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "  remove-50: 0.300 s against ≥ 120.000 s (frr-reload.py): ≤ 0.003"
    assert said[1] == "  remove-one: 0.300 s against 3.000 s (frr-reload.py): 0.100"


def test_each_case_names_what_it_was_measured_on(written: Path) -> None:
    report = Report("some", gso="off")
    report.add("first", 1.0)
    report.gso = "on"
    report.add("second", 1.0)
    report.write()
    first, second = read_cases(written / "some.json")
    assert (first.environment["gso"], second.environment["gso"]) == ("off", "on")
    for case in (first, second):
        assert case.environment["kernel"] == machine.kernel()
        assert str(case.environment["processors"]).partition(" x ")[0].isdigit()


def test_results_are_a_list_with_the_fields_that_scripts_read(written: Path) -> None:
    write_cases(written / "some.json", [RATED, ALONE])
    assert [
        {field: entry[field] for field in ("case", "ours", "reference", "reference_name", "ratio", "unit")}
        for entry in json.loads((written / "some.json").read_text())
    ] == [
        {
            "case": "change-one-1000",
            "ours": 2.0,
            "reference": 10.0,
            "reference_name": "frr-reload.py --reload",
            "ratio": 0.2,
            "unit": "s",
        },
        {"case": "rss-50", "ours": 60.0, "reference": None, "reference_name": None, "ratio": None, "unit": "MB"},
    ]
    assert read_cases(written / "some.json") == [RATED, ALONE]


def test_ratios_are_compared_whatever_the_machine_did_to_both_sides() -> None:
    slower_machine = replace(RATED, ours=4.0, reference=20.0)
    assert not list(compare.differences([RATED], [slower_machine]))
    worse = replace(RATED, ours=3.0, ratio=0.3)
    assert [str(found) for found in compare.differences([RATED], [worse])] == [
        "change-one-1000: ratio 0.200 -> 0.300 (+50%)"
    ]


def test_a_figure_without_a_ratio_or_against_a_cut_off_is_compared_itself() -> None:
    now = [replace(ALONE, ours=67.0), replace(STOPPED, ours=0.4, ratio=0.4 / 120)]
    assert [str(found) for found in compare.differences([ALONE, STOPPED], now)] == [
        "rss-50: MB 60.000 -> 67.000 (+12%)",
        "remove-50-of-100: s 0.300 -> 0.400 (+33%)",
    ]
    assert not list(compare.differences([ALONE], [replace(ALONE, ours=65.0)]))


def test_a_run_elsewhere_and_missing_cases_are_told() -> None:
    before = [replace(case, environment={"kernel": "6.1", "measured": "2026-11-30 07:00"}) for case in (RATED, ALONE)]
    now = [replace(RATED, environment={"kernel": "6.18"}), replace(STOPPED, environment={"kernel": "6.18"})]
    assert list(compare.told("bgp", before, now)) == [
        "bgp, against the kept run of 2026-11-30 07:00 (unknown):",
        "  kernel differs: 6.1 -> 6.18",
        "  nothing changed by more than 10%",
        "  remove-50-of-100 is new",
        "  rss-50 was not measured",
    ]
    assert list(compare.told("bgp", [], now)) == ["bgp: no run is kept to compare with"]


def test_what_is_beyond_its_bound_is_named() -> None:
    late, fat = replace(RATED, ratio=0.26), replace(ALONE, ours=70.5)
    assert beyond([RATED, ALONE, STOPPED]) == []
    assert beyond([late, fat]) == [late, fat]


def test_the_page_marks_cut_offs_and_cases_beyond_their_bound() -> None:
    rows = list(table([replace(RATED, ratio=0.26), STOPPED, ALONE]))[2:]
    assert rows == [
        "| **change-one-1000** | 2.000 s | 10.000 s | 0.260 | ≤ 0.25 | frr-reload.py --reload |",
        "| remove-50-of-100 | 0.300 s | ≥ 120.000 s | ≤ 0.003 |  | frr-reload.py --reload |",
        "| rss-50 | 60.000 MB |  |  | ≤ 70 MB |  |",
    ]


def test_the_page_says_for_which_cases_conditions_hold_and_where_no_run_is_kept() -> None:
    lab = replace(RATED, environment={"kernel": "6.1 (User-Mode Linux)", "commit": "0123456789ab", "gso": "off"})
    native = replace(ALONE, environment={"kernel": "6.18", "commit": "0123456789ab", "kept_awake": True})
    made = page({"bgp": [lab, native]})
    assert "- `change-one-1000`: commit `0123456789ab`;" in made
    assert "kernel 6.1 (User-Mode Linux); " in made
    assert "processors kept awake yes" in made
    assert made.count(NOT_KEPT) == len(NAMES) - 1
