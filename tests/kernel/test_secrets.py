"""No secret is told: it is looked for wherever anybody but root could find it, while everything is done with it."""

from __future__ import annotations

import json
import shutil
import stat
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dcedge.errors import FrrError
from dcedge.frr.vty import FrrClient
from dcedge.order.credentials import Secret
from tests.lab.bed import ORDER, ORDERED_BPS, PASSWORDS, Bed
from tests.lab.echoing import Echo, EchoingDaemon, reply
from tests.lab.edge import Edge
from tests.lab.wait import until

pytestmark = pytest.mark.timeout(900)

CHANGED = "Schwanheim-4711"
SECRETS = {*PASSWORDS.values(), CHANGED}
# One of which no piece occurs by itself.
KEY = 'Qx7vTz-"Weis/kirchen_93'
BEFORE = PASSWORDS["dev-a"]


def telling(text: str) -> set[str]:
    """The secrets in a text."""
    return {secret for secret in SECRETS if secret in text}


class Watch:
    """What processes show of themselves to others, as long as it runs: /proc/PID/cmdline and environ."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.agent_seen = False
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.is_set():
            for process in Path("/proc").glob("[0-9]*"):
                for name in ("cmdline", "environ"):
                    try:
                        text = (process / name).read_bytes().decode("utf-8", "replace")
                    except OSError:
                        continue
                    self.agent_seen |= name == "cmdline" and text.endswith("dcedge\0run\0")
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
        assert edge.dcedge("apply").status == 0
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
    assert watch.agent_seen, "the agent was not looked at while it wrote to FRR"
    assert edge.order.read_text() == ORDER.read_text()
    running.wait_up(*ORDERED_BPS)


def test_what_holds_secrets_is_for_root_alone(running: Bed) -> None:
    edge = running.edge
    assert stat.S_IMODE(edge.state_dir.stat().st_mode) == 0o700
    until("FRR to have saved", lambda: edge.frr.saved, accept=lambda text: PASSWORDS["dev-a"] in text)
    assert not stat.S_IMODE((edge.frr.folder / "frr.conf").stat().st_mode) & stat.S_IRWXO


def pieces_in(text: str) -> set[str]:
    """Whatever tells something of the new key or of the one before it: all of it, its ends, or five characters."""
    escaped = json.dumps(KEY)[1:-1]
    pieces = {KEY[at : at + 5] for at in range(len(KEY) - 4)} | {
        KEY[:4],
        KEY[-4:],
        escaped,
        escaped.replace("/", "\\/"),
    }
    return {piece for piece in (*pieces, BEFORE, BEFORE[:5], BEFORE[-5:]) if piece in text}


def what_the_daemon_tells(edge: Edge) -> dict[str, str]:
    """What it is asked for, by where that is seen."""
    told = {
        " ".join(words): edge.dcedge(*words).said
        for words in (("apply", "--json"), ("status",), ("status", "--json"), ("status", "dev-a"), ("plan", "--json"))
    }
    for path in ("metrics", "", "overview.json", "interfaces/dev-a.json"):
        told[f"http /{path}"] = edge.namespace.run("curl", "-s", f"http://127.0.0.1:9478/{path}", check=False).stdout
    return told


def what_is_kept(edge: Edge) -> dict[str, str]:
    """Log, history and bundle."""
    bundle = edge.folder / "bundle.tar.gz"
    bundle.unlink(missing_ok=True)
    outcome = edge.dcedge("bundle", "--output", str(bundle), timeout=180)
    assert outcome.status == 0, outcome.said
    with tarfile.open(bundle) as tar:
        told = {
            f"the bundle's {member.name.partition('/')[2]}": file.read().decode("utf-8", "replace")
            for member in tar.getmembers()
            if (file := tar.extractfile(member)) is not None
        }
    history = (edge.state_dir / "history.jsonl").read_text()
    return {**told, "history": history, "log": edge.log.read_text(), "explain": edge.dcedge("explain", "dev-a").said}


def found_in(told: dict[str, str]) -> dict[str, set[str]]:
    return {where: pieces for where, text in told.items() if (pieces := pieces_in(text))}


def cut(line: str) -> bytes:
    """As where lines are cut: the head of one stuck to another's, and the rest taken for a command."""
    head, tail = line[: -len(KEY) + 6], line[-len(KEY) + 6 :]
    return reply(f"% Unknown command: {head}ighbor 10.0.0.1 timers\n% Unknown command: {tail}\n", 2)


def wrong_before_and_after(line: str) -> bytes:
    return reply(f"% Unknown command: frob {KEY[3:12]} nicate\n% Ambiguous command: {line}\n% {KEY[9:]}: frob\n", 2)


ECHOES: tuple[Echo, ...] = (
    lambda line: reply(f"% Unknown command: {line}\n", 2),
    cut,
    lambda line: reply(f"{line}\nsaid {json.dumps(KEY)}, was {BEFORE}\n", 1),
    lambda line: f"% Unknown command: {line[:-7]}".encode(),  # killed in the middle
    wrong_before_and_after,
)


def echoing_vtysh(folder: Path) -> None:
    """A vtysh that repeats keys and does what it is asked, but dies in the middle of a line where that is to save."""
    (folder / "echo").write_text(f"% Unknown command: {KEY[2:]}\nneighbor 10.0.0.1 password {KEY}\nwas {BEFORE}\n")
    (folder / "half").write_text(f"% Unknown command: {KEY[4:13]}")
    fake = folder / "vtysh"
    fake.write_text(
        f"#!/bin/sh\ncat {folder}/echo\ncat {folder}/echo >&2\n"
        f'case "$*" in *write*) cat {folder}/half >&2; kill -9 $$;; esac\n{shutil.which("vtysh")} "$@"\n'
    )
    fake.chmod(0o755)


def test_what_daemons_and_vtysh_repeat_of_a_key_is_told_nowhere(
    running: Bed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edge = running.edge
    told: dict[str, str] = {}
    echoing_vtysh(tmp_path)
    edge.stop_daemon()
    edge.log.unlink()
    try:
        with monkeypatch.context() as with_path:
            with_path.setenv("PATH", f"{tmp_path}:{edge.environment['PATH']}")
            edge.start_daemon()
            edge.credential("dev-a", KEY)
            with EchoingDaemon(edge.frr.sockets, "bgpd", KEY, ECHOES) as daemon:
                while daemon.answered < 2 * len(ECHOES):
                    refused = edge.dcedge("apply")
                    assert refused.status == 1, refused.said
                    assert "failed: change bgp-session dev-a: " in refused.said  # it is told, all the same
                    told[f"apply, {daemon.answered} answered"] = refused.said
                    told[f"status, {daemon.answered} answered"] = json.dumps(edge.status())
                told |= {f"{where}, refused": text for where, text in what_the_daemon_tells(edge).items()}
            told["apply, vtysh killed"] = edge.dcedge("apply").said
            told |= what_the_daemon_tells(edge) | what_is_kept(edge)
        assert found_in(told) == {}
        assert "FRR's configuration is not saved: vtysh says" in told["status --json"]
        assert "was ***" in told["the bundle's frr/summary"]
        assert KEY in edge.frr.vtysh("show running-config")
    finally:
        edge.stop_daemon()
        edge.credential("dev-a", BEFORE)
        edge.start_daemon()
    running.wait_up(*ORDERED_BPS)


def test_what_frr_itself_says_of_lines_with_a_key_tells_none(running: Bed) -> None:
    """FRR as it is: lines refused, too long, cut, and wrong ones before and after."""
    known = Secret(KEY)
    text = (
        f"frobnicate {KEY[5:]}\n{KEY[4:]}\nrouter bgp 65010\n neighbor 10.255.201.1 pass {KEY}\n"
        f" neighbor 10.255.201.1 password {KEY * 10}\n neighbor 10.255.201.1 password\n {KEY[:9]} {KEY}\nexit\n"
        f"key chain {KEY[8:]}\n key {KEY}\n"
    )
    client = FrrClient(running.edge.frr.name)
    try:
        with pytest.raises(FrrError) as refused:
            client.apply(text)
        assert "Unknown command" in str(refused.value)
        assert pieces_in(str(refused.value) + repr(refused.value) + str(vars(refused.value))) == set()
    finally:
        client.apply(f"router bgp 65010\n neighbor 10.255.201.1 password {BEFORE}\nexit\n")  # FRR did take one
        client.close()
    assert known.reveal() == KEY
