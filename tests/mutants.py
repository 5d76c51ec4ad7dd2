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

NETLINK = "tests/unit/netlink"
PASSES = "tests/unit/passes"
COLLECTOR = "tests/unit/test_status_collector.py"
SUPERVISION = "tests/unit/test_supervision.py"
SESSION_UP = "tests/unit/test_session_up.py"
METRICS = "tests/unit/api/test_exposition.py"


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
        "kernel/queue/tree.py",
        "was.get(htb.minor) != htb",
        "htb.minor not in was",
        (f"{PASSES}/test_orders.py", f"{PASSES}/test_repairs.py"),
    ),
    Mutant(
        "a VLAN of somebody else's counts as ours",
        "kernel/link/observe.py",
        'foreign = link.kind == "vlan" and not marked and link.name not in owned_links',
        "foreign = False",
        (f"{PASSES}/test_foreign.py",),
    ),
    Mutant(
        "a device of somebody else's under our name counts as ours",
        "kernel/link/observe.py",
        "ours[link.index] = _link(view, link, wanted, floor, foreign=True)",
        "ours[link.index] = _link(view, link, wanted, floor, foreign=False)",
        (f"{PASSES}/test_foreign.py",),
    ),
    Mutant(
        "somebody else's queue counts as none",
        "kernel/queue/observe.py",
        'return Shaper(link.name, None, affects, f"somebody else\'s {root.kind} {root.handle >> 16:x}:")',
        "return None",
        (f"{PASSES}/test_foreign.py",),
    ),
    Mutant(
        "verification finds nothing",
        "reconcile/reconciler.py",
        "if operation.key in attempted and operation.key not in known",
        "if False",
        (f"{PASSES}/test_refusals.py",),
    ),
    Mutant(
        "what was refused is forgotten",
        "reconcile/reconciler.py",
        "failed_now = standing | {failure.operation.key: failure for failure in failures}",
        "failed_now: dict[Key, Failure] = {}",
        (f"{PASSES}/test_refusals.py",),
    ),
    Mutant(
        "suppressed repairs are made all the same",
        "reconcile/drift.py",
        "key, repairs in self._by_key.items() if repairs.suppressed_until > now)",
        "key, repairs in self._by_key.items() if False)",
        (f"{PASSES}/test_repairs.py",),
    ),
    Mutant(
        "an interrupted dump counts as whole",
        "netlink/socket.py",
        "interrupted |= bool(flags & NLM_F_DUMP_INTR)",
        "pass",
        (f"{PASSES}/test_refusals.py",),
    ),
    Mutant(
        "what the kernel refuses counts as done",
        "netlink/socket.py",
        "if code:",
        "if False:",
        (f"{NETLINK}/test_socket.py",),
    ),
    Mutant(
        "a message goes past pyroute2's socket",
        "netlink/socket.py",
        "self._socket.send(b\"\".join(_frames(batch",
        "self._socket.socket.send(b\"\".join(_frames(batch",
        (f"{NETLINK}/test_socket.py",),
    ),
    Mutant(
        "a template's values stand before their places",
        "netlink/templates.py",
        "payload_at = instance.offset + ATTRIBUTE.size",
        "payload_at = instance.offset",
        (f"{NETLINK}/test_templates.py",),
    ),
    Mutant(
        "what the kernel marks as nested is not read",
        "netlink/reader.py",
        "attribute_type & NLA_TYPE_MASK",
        "attribute_type",
        (f"{PASSES}/test_orders.py",),
    ),
    Mutant(
        "events that were lost count as none",
        "kernel/events.py",
        "return None",
        "pass",
        (f"{PASSES}/test_refusals.py",),
    ),
    Mutant(
        "the children of a link are remembered once more with each observation",
        "reconcile/kernel_sync.py",
        "if key not in children:",
        "if True:",
        (f"{PASSES}/test_orders.py",),
    ),
    Mutant(
        "every session has received one prefix",
        "monitor/collect_facts.py",
        "received=counts.accepted if counts is not None else 0",
        "received=1",
        (COLLECTOR,),
    ),
    Mutant(
        "every session has accepted one prefix",
        "frr/state.py",
        'accepted=_number(counts, "acceptedPrefixCounter")',
        "accepted=1",
        ("tests/unit/bgp/test_state.py",),
    ),
    Mutant(
        "every session of the short account has one prefix",
        "frr/state.py",
        '_number(facts, "pfxRcd")',
        "1",
        ("tests/unit/bgp/test_state.py",),
    ),
    Mutant(
        "whatever a drained path carries is traffic",
        "monitor/status_collector.py",
        "if bps > quiet)",
        "if bps > 0)",
        (COLLECTOR,),
    ),
    Mutant(
        "a session between two refusals carries traffic",
        "monitor/status_collector.py",
        "if s.up and s.accepted",
        'if s.state == "Established" and s.accepted',
        (SESSION_UP,),
    ),
    Mutant(
        "top and page count FRR's Established",
        "api/overview.py",
        "sum(session.up for",
        'sum(session.state == "Established" for',
        (SESSION_UP,),
    ),
    Mutant(
        "the picture has the live streams",
        "monitor/status_collector.py",
        "tuple([stream.read() for stream in streams])",
        "streams",
        (COLLECTOR,),
    ),
    Mutant(
        "one more label comes last, wherever its name belongs",
        "api/metrics/text.py",
        "return sum(other < label for other in labels)",
        "return len(labels)",
        (METRICS,),
    ),
    Mutant(
        "a format that is not accepted at all is one to choose from",
        "api/negotiation.py",
        "if one.weight > 0",
        "if True",
        (METRICS,),
    ),
    Mutant(
        "keepalives and neighbour discovery are traffic",
        "order/drain.py",
        "_IDLE_BPS = 10_000.0",
        "_IDLE_BPS = 0.0",
        ("tests/unit/test_drain.py",),
    ),
    Mutant(
        "what could not be written is written later, over the files of who had the lock meanwhile",
        "reconcile/state/files.py",
        "            self._writes = False\n            self.owed.forget()",
        "            self._writes = False",
        ("tests/unit/test_store.py", "tests/unit/test_alone.py"),
    ),
    Mutant(
        "the supervisor remembers a line as told and tells it to nobody",
        "daemon/systemd.py",
        "self._tell(Notification.STATUS, line)",
        "pass",
        (SUPERVISION,),
    ),
    Mutant(
        "the supervisor believes that systemd listens",
        "daemon/systemd.py",
        'self._spoken_to = "NOTIFY_SOCKET" in os.environ',
        "self._spoken_to = True",
        (SUPERVISION,),
    ),
    Mutant(
        "the supervisor never says that it is ready",
        "daemon/systemd.py",
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
