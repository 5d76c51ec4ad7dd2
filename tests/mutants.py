"""Faults put into the sources on purpose, one at a time: the unit tests have to notice each (`make mutants`).

A mutant is a piece of a source file and what takes its place. It is tried in a copy of the tree, with the tests named
beside it, of which one at least has to fail. Where the piece is no longer found just once, the mutant has to be put
right along with the code: that is an error of its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
COPIED = ("agent", "config", "tests", "pyproject.toml")
SECONDS_MAX = 120
TESTS_FAILED = 1  # pytest's exit status; others say that the tests did not run at all

PASSES = "tests/unit/passes"
PICTURE = "tests/unit/test_picture.py"
SUPERVISION = "tests/unit/test_supervision.py"


@dataclass(frozen=True)
class Mutant:
    """A fault: in `file` (below agent/dcedge) `piece` becomes `fault`, and `tests` are to notice."""

    name: str
    file: str
    piece: str
    fault: str
    tests: tuple[str, ...]


MUTANTS = (
    Mutant(
        "an HTB class that is there is never changed",
        "kernel/tree.py",
        "was.get(htb.minor) != htb",
        "htb.minor not in was",
        (f"{PASSES}/test_orders.py", f"{PASSES}/test_repairs.py"),
    ),
    Mutant(
        "a VLAN of somebody else's counts as ours",
        "kernel/observe.py",
        'foreign = link.kind == "vlan" and not marked and link.name not in owned_links',
        "foreign = False",
        (f"{PASSES}/test_foreign.py",),
    ),
    Mutant(
        "a device of somebody else's under our name counts as ours",
        "kernel/observe.py",
        "yield wanted.key, _link(view, link, wanted, foreign=True)",
        "yield wanted.key, _link(view, link, wanted, foreign=False)",
        (f"{PASSES}/test_foreign.py",),
    ),
    Mutant(
        "somebody else's queue counts as none",
        "kernel/observe.py",
        'return Shaper(link.name, None, affects, f"somebody else\'s {root.kind} {root.handle >> 16:x}:")',
        "return None",
        (f"{PASSES}/test_foreign.py",),
    ),
    Mutant(
        "verification finds nothing",
        "reconcile.py",
        "if operation.key in attempted and operation.key not in known",
        "if False",
        (f"{PASSES}/test_refusals.py",),
    ),
    Mutant(
        "what was refused is forgotten",
        "reconcile.py",
        "self._failures = standing | {failure.operation.key: failure for failure in failures}",
        "self._failures = {}",
        (f"{PASSES}/test_refusals.py",),
    ),
    Mutant(
        "fights go on for ever",
        "fights.py",
        "key, fight in self._told() if fight.held_until > now)",
        "key, fight in self._told() if False)",
        (f"{PASSES}/test_repairs.py",),
    ),
    Mutant(
        "an interrupted dump counts as whole",
        "kernel/netlink.py",
        "interrupted |= bool(flags & NLM_F_DUMP_INTR)",
        "pass",
        (f"{PASSES}/test_refusals.py",),
    ),
    Mutant(
        "events that were lost count as none",
        "kernel/events.py",
        "return None",
        "break",
        (f"{PASSES}/test_refusals.py",),
    ),
    Mutant(
        "what stands on a link is remembered once more with each look",
        "kernel_part.py",
        "if key not in upon:",
        "if True:",
        (f"{PASSES}/test_orders.py",),
    ),
    Mutant(
        "every session has received one prefix",
        "facts.py",
        "received=counts.accepted if counts is not None else 0",
        "received=1",
        (PICTURE,),
    ),
    Mutant(
        "every session has accepted one prefix",
        "bgp/state.py",
        'accepted=_number(counts, "acceptedPrefixCounter")',
        "accepted=1",
        ("tests/unit/bgp/test_state.py",),
    ),
    Mutant(
        "every session of the short account has one prefix",
        "bgp/state.py",
        '_number(facts, "pfxRcd")',
        "1",
        ("tests/unit/bgp/test_state.py",),
    ),
    Mutant(
        "whatever a drained path carries is traffic",
        "picture.py",
        "if bps > quiet)",
        "if bps > 0)",
        (PICTURE,),
    ),
    Mutant(
        "keepalives and neighbour discovery are traffic",
        "drain.py",
        "_IDLE_BPS = 10_000.0",
        "_IDLE_BPS = 0.0",
        ("tests/unit/test_drain.py",),
    ),
    Mutant(
        "the supervisor remembers a line as told and tells it to nobody",
        "supervision.py",
        "self._tell(Notification.STATUS, line)",
        "pass",
        (SUPERVISION,),
    ),
    Mutant(
        "the supervisor believes that systemd listens",
        "supervision.py",
        'self._spoken_to = "NOTIFY_SOCKET" in os.environ',
        "self._spoken_to = True",
        (SUPERVISION,),
    ),
    Mutant(
        "the supervisor never says that it is ready",
        "supervision.py",
        "self._tell(Notification.READY)",
        "pass",
        (SUPERVISION,),
    ),
)  # fmt: skip


def run_tests(tree: Path, tests: Sequence[str]) -> tuple[int, str]:
    """pytest's exit status in a copy of the tree, and the end of what it printed."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", *tests]
    try:
        done = subprocess.run(
            command,
            cwd=tree,
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return -1, f"no end in {SECONDS_MAX} s"
    return done.returncode, done.stdout.strip().rpartition("\n")[2]


def copy_tree(folder: Path) -> Path:
    """A copy of what the tests need."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(source, folder / name)
    return folder


def judge(mutant: Mutant | None) -> str:
    """Why a mutant is not dead, in words; empty where it is. None is no mutant at all, whose tests have to pass."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        tree = copy_tree(Path(folder))
        if mutant is None:
            every = sorted({test for one in MUTANTS for test in one.tests})
            status, told = run_tests(tree, every)
            return "" if status == 0 else f"the tests fail without any mutant: {told}"
        source = tree / "agent" / "dcedge" / mutant.file
        text = source.read_text()
        if (found := text.count(mutant.piece)) != 1:
            return f"{mutant.file} has its piece {found} times: put the mutant right"
        source.write_text(text.replace(mutant.piece, mutant.fault))
        status, told = run_tests(tree, mutant.tests)
        if status == TESTS_FAILED:
            return ""
        return f"LIVES: {told}" if status == 0 else f"its tests did not run: {told}"


def main() -> int:
    """Try them all, as many at once as there are processors; 1 where one is not dead."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        without, *results = pool.map(judge, (None, *MUTANTS))
    width = max(len(mutant.name) for mutant in MUTANTS)
    for mutant, result in zip(MUTANTS, results, strict=True):
        print(f"{mutant.name:{width}}  {result or 'dead'}")
    if without:
        print(without)
    dead = results.count("")
    print(f"mutants: {dead} of {len(MUTANTS)} dead")
    return 0 if dead == len(MUTANTS) and not without else 1


if __name__ == "__main__":
    sys.exit(main())
