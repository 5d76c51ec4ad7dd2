"""No secret is told: it is looked for wherever anybody but root could find it, while everything is done with it."""

from __future__ import annotations

import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dcedge.bgp.vty import FrrClient
from dcedge.errors import FrrError
from tests.lab.bed import ORDER, ORDERED_BPS, PASSWORDS, Bed
from tests.lab.wait import until

pytestmark = pytest.mark.timeout(300)

CHANGED = "Schwanheim-4711"
SECRETS = {*PASSWORDS.values(), CHANGED}


def telling(text: str) -> set[str]:
    """The secrets in a text."""
    return {secret for secret in SECRETS if secret in text}


class Watch:
    """What processes show of themselves to others, as long as it runs: /proc/PID/cmdline and environ."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.vtysh_seen = False
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.is_set():
            for process in Path("/proc").glob("[0-9]*"):
                for name in ("cmdline", "environ"):
                    try:
                        text = (process / name).read_bytes().decode("utf-8", "replace")
                    except OSError:
                        continue
                    self.vtysh_seen |= text.startswith("vtysh\0")
                    self.seen |= {f"{process.name}/{name}: {secret}" for secret in telling(text)}


@contextmanager
def watched() -> Iterator[Watch]:
    """Look at every process all the time."""
    watch = Watch()
    thread = threading.Thread(target=watch.run)
    thread.start()
    try:
        yield watch
    finally:
        watch.ended.set()
        thread.join()


def open_to_others(folder: Path) -> Iterator[Path]:
    """The files below a folder that not only root and FRR may read."""
    for path in folder.rglob("*"):
        if path.is_file() and stat.S_IMODE(path.stat().st_mode) & stat.S_IROTH:
            yield path


def test_no_secret_is_told_anywhere(running: Bed) -> None:
    edge = running.edge
    told: dict[str, str] = {}
    edge.stop_daemon()
    edge.start_daemon(forked=False)  # its own arguments and environment are to be seen
    try:
        with watched() as watch:
            edge.credential("dev-a", CHANGED)
            told["apply"] = edge.dcedge("apply").said
            edge.credential("dev-a", PASSWORDS["dev-a"])
            for words in (
                ("plan",),
                ("plan", "--json"),
                ("apply", "--json"),
                ("status",),
                ("status", "--json"),
                ("check",),
            ):
                told[" ".join(words)] = edge.dcedge(*words).said
        for path in ("metrics", "", "healthz"):
            said = edge.namespace.run("curl", "-s", f"http://127.0.0.1:9478/{path}", check=False).stdout
            told[f"http /{path}"] = said
    finally:
        edge.credential("dev-a", PASSWORDS["dev-a"])
    refused = FrrClient(edge.frr.name)
    with pytest.raises(FrrError) as error:
        refused.apply(f"router bgp 65010\n neighbor 10.255.201.1 password {CHANGED}{'x' * 80}\nexit\n")
    refused.close()
    told["an error of FRR's"] = repr(error.value) + str(error.value) + repr(error.value.__context__)
    assert "password ***" in told["an error of FRR's"]
    told["dcedge's log"] = edge.log.read_text()
    told["FRR's log"] = edge.frr.log
    assert all(text for text in told.values()), [name for name, text in told.items() if not text]
    places = (edge.state_dir, edge.folder, edge.frr.folder, edge.frr.sockets, Path("/var/log"))
    for file in {file for place in places for file in open_to_others(place)}:
        told[str(file)] = file.read_bytes().decode("utf-8", "replace")
    assert {name: found for name, text in told.items() if (found := telling(text))} == {}
    assert watch.seen == set()
    assert watch.vtysh_seen, "nothing was looked at while FRR was written to"
    assert edge.order.read_text() == ORDER.read_text()
    running.wait_up(*ORDERED_BPS)


def test_what_holds_secrets_is_for_root_alone(running: Bed) -> None:
    edge = running.edge
    assert stat.S_IMODE(edge.state_dir.stat().st_mode) == 0o700
    until("FRR to have saved", lambda: edge.frr.saved, accept=lambda text: PASSWORDS["dev-a"] in text)
    assert not stat.S_IMODE((edge.frr.folder / "frr.conf").stat().st_mode) & stat.S_IRWXO
