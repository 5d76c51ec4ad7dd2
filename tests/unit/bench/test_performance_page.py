"""docs/performance.md is what the generator makes of the run that is kept."""

from __future__ import annotations

from tests.bench.__main__ import BENCHES
from tests.bench.compare import KEPT, kept
from tests.bench.report import METHOD, NAMES, PAGE, page


def test_the_page_is_made_of_the_kept_run() -> None:
    made = page({name: kept(name) for name in NAMES})
    assert PAGE.read_text() == made, "make it anew: .venv/bin/python -m tests.bench.report"


def test_every_benchmark_has_its_section() -> None:
    assert set(NAMES) == BENCHES.keys()
    assert {path.stem for path in METHOD.glob("*.md")} == {"general", *NAMES}
    assert {path.stem for path in KEPT.glob("*.json")} <= set(NAMES)


def test_every_kept_figure_names_commit_kernel_processors_and_conditions() -> None:
    wanted = {"commit", "kernel", "processors", "gso", "kept_awake", "measured", "load_before"}
    for name in NAMES:
        for case in kept(name):
            assert wanted <= case.environment.keys(), f"{name}: {case.case}"
