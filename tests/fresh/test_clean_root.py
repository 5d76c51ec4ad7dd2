"""What README.md and config/operations.md say to type, typed on Debian 12 with nothing on it.

One story: somebody tries dcedge on one machine and builds the package; a router gets that. What needs systemd is typed
on that very router once it has booted, by `test_router.py`.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest

from tests.fresh.hand import Hand
from tests.fresh.pages import ELSEWHERE, every_command
from tests.fresh.root import CleanRoot

pytestmark = pytest.mark.timeout(1500)

INTERFACES = ("prod-a", "prod-b", "dev-a")
NOTHING_LEFT = "Nothing is left behind"
AS_ORDERED = "everything as ordered"
TOO_BUSY = "The machine was busy"
TYPED_INSIDE = {
    "dcedge status": (0, (" answers", *INTERFACES)),
    "dcedge plan": (0, ("Nothing to do",)),
    "dcedge explain prod-a": (0, ("prod-a",)),
    "ip link show vi-prod-a": (0, ("eth1.101",)),
    "ip link del eth1.101": (0, ()),
    "vtysh -c 'show bgp summary'": (0, ("10.255.101.1",)),
    "dcedge drain prod-a": (0, ("Drained: prod-a", "Traffic has left")),
    "dcedge undrain prod-a": (0, ("In use again: prod-a",)),
    "dcedge drain nowhere": (1, ("nowhere",)),
}
"""What somebody types into `make shell`: the exit status, and what is said."""
LAB = ("user-mode-linux", "kmod", "bird2", "ethtool", "iputils-ping", "openssh-server", "openssh-client", "man-db")
"""What the lab and its visitors need on the router, where the package has brought what dcedge needs."""


@pytest.fixture
def hand(builder: CleanRoot, record: Path) -> Hand:
    return Hand(builder.shell, record)


@pytest.fixture
def router_hand(router: CleanRoot, record: Path) -> Hand:
    return Hand(router.shell, record)


def test_two_lines_on_a_fresh_machine_show_the_demo(builder: CleanRoot, hand: Hand) -> None:
    hand.types("apt-get update && apt-get install --yes git make && git clone <this repository> dcedge && cd dcedge")
    builder.home = "/root/dcedge"  # where `cd` has led
    judge_demo(hand.types("make demo", says=("installing", AS_ORDERED, NOTHING_LEFT)))
    assert builder.processes() == []


def judge_demo(said: str) -> None:
    """All is up, and no more came through than was ordered; less only where the demo found this machine too busy."""
    for name in INTERFACES:
        (row,) = (line.split("│") for line in said.splitlines() if line.startswith(f"│ {name} "))
        ratio, _, sessions, verdict = (cell.strip() for cell in row[5:9])
        assert float(ratio) <= 1.02, said
        assert set(sessions.split(" + ")) == {"Established"}, said
        assert verdict == "up", said
    if TOO_BUSY in said:
        warnings.warn("this machine was too busy to send what was ordered: rates were not judged", stacklevel=2)


def test_its_shell_has_dcedge_at_hand(builder: CleanRoot, hand: Hand) -> None:
    lines = "exec 2>&1\n"  # complaints where they belong among what is said
    lines += "".join(f'{command}\necho "[$?] {number}"\n' for number, command in enumerate(TYPED_INSIDE))
    said = hand.types("make shell", says=(AS_ORDERED, NOTHING_LEFT), answers=lines)
    start = said.index("You are on the edge router.")
    for number, (command, (status, words)) in enumerate(TYPED_INSIDE.items()):
        end = re.compile(rf"^\[(\d+)\] {number}$", re.MULTILINE).search(said, start)
        assert end, said[start:]
        answer = said[start : end.end()]
        assert int(end[1]) == status, (command, answer)
        assert all(word in answer for word in words), (command, words, answer)
        start = end.end()
    assert builder.processes() == []


def test_the_package_is_built(builder: CleanRoot, hand: Hand) -> None:
    assert "build/deb/dcedge_" in hand.types("make deb")


def test_a_router_gets_it_with_all_that_it_needs_and_nothing_is_started(router: CleanRoot, router_hand: Hand) -> None:
    router_hand.types(
        "apt install ./build/deb/dcedge_*.deb", answers="y\n", says=("Setting up frr", "Setting up dcedge")
    )
    assert router.processes() == []
    assert router.shell("dcedge check --order /usr/share/doc/dcedge/examples/order.yaml").returncode == 0
    router_hand.types("apt install ./build/deb/dcedge_*_amd64.deb", answers="y\n", says=("already the newest",))


def test_what_needs_systemd_is_typed_on_that_router_once_it_has_booted(router: CleanRoot, record: Path) -> None:
    done = router.shell(f"tests/lab/install-packages {' '.join(LAB)}")
    assert done.returncode == 0, done.stdout + done.stderr
    test = ".venv/bin/python -m pytest -q -x --fresh tests/fresh/test_router.py"
    done = router.shell(f"tests/lab/run --systemd --timeout 1100 --out /root/typed {test}")
    assert done.returncode == 0, done.stdout + done.stderr
    for noted in (router.folder / "root/typed").iterdir():
        with (record / noted.name).open("a") as whole:
            whole.write(noted.read_text())


def test_every_command_of_the_pages_has_been_typed(record: Path) -> None:
    typed = set((record / "commands").read_text().splitlines())
    assert [str(command) for command in every_command() if command.text not in typed | ELSEWHERE.keys()] == []
