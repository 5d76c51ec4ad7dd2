"""`make matrix`: every platform of the support table, one after the other, and a table of how it went."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

LOGS = Path("build/matrix")
SUITE_SECONDS = 3600
EVERYTHING, FRR_TESTS, UNIT_TESTS, DEMO = "all tests", "tests that talk to FRR", "unit tests", "the demo"
SUITES = (EVERYTHING, FRR_TESTS, UNIT_TESTS, DEMO)
BOOKWORM, TRIXIE, FORKY = "Debian 12", "Debian 13", "Debian's next"


@dataclass(frozen=True)
class Cell:
    """One suite on one platform. What is `advisory` may fail: that platform is still being made."""

    suite: str
    platform: str
    command: tuple[str, ...]
    advisory: bool = False

    @property
    def log(self) -> Path:
        """Where all that it prints is kept."""
        return LOGS / f"{self.suite} on {self.platform}.log".replace(" ", "-").replace("'", "")


def _in_root(suite: str, *words: str) -> tuple[str, ...]:
    return ("tests/lab/in-root", suite, *words)


# Only FRR and BIRD are another Debian's where tests talk to FRR; unit tests and the demo have all of it.
CELLS = (
    Cell(EVERYTHING, BOOKWORM, ("make", "test")),
    Cell(FRR_TESTS, TRIXIE, ("make", "frr-tests", "FRR=trixie")),
    Cell(FRR_TESTS, FORKY, ("make", "frr-tests", "FRR=forky"), advisory=True),
    Cell(UNIT_TESTS, TRIXIE, _in_root("trixie", "make", "-j1", "quick-bgp", "quick-others")),
    Cell(UNIT_TESTS, FORKY, _in_root("forky", "make", "-j1", "quick-bgp", "quick-others"), advisory=True),
    Cell(DEMO, BOOKWORM, ("make", "demo")),
    Cell(DEMO, TRIXIE, _in_root("trixie", "make", "demo")),
)
INCLUDED = {(suite, BOOKWORM) for suite in SUITES}  # in "all tests" there


def main() -> int:
    """Run them all; 1 where one failed that must not."""
    LOGS.mkdir(parents=True, exist_ok=True)
    told: dict[tuple[str, str], str] = {}
    failed = False
    for cell in CELLS:
        print(f"{cell.suite} on {cell.platform}: {' '.join(cell.command)}", flush=True)
        started = time.monotonic()
        with cell.log.open("wb") as log:
            well = _run(cell.command, log.fileno())
        minutes = (time.monotonic() - started) / 60
        told[cell.suite, cell.platform] = f"{'passed' if well else 'FAILED'} in {minutes:.1f} min"
        if not well:
            failed |= not cell.advisory
            print(f"  failed; see {cell.log}", flush=True)
    print(_table(told))
    return 1 if failed else 0


def _run(command: tuple[str, ...], log: int) -> bool:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False, timeout=SUITE_SECONDS
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def _table(told: dict[tuple[str, str], str]) -> str:
    platforms = (BOOKWORM, TRIXIE, FORKY)
    advisory = {cell.platform for cell in CELLS if cell.advisory}
    heads = ["", *(f"{platform} (advisory)" if platform in advisory else platform for platform in platforms)]
    rows = [heads]
    for suite in SUITES:
        cells = [
            told.get((suite, platform)) or ("in all tests" if (suite, platform) in INCLUDED else "-")
            for platform in platforms
        ]
        rows.append([suite, *cells])
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) for row in rows)


if __name__ == "__main__":
    sys.exit(main())
