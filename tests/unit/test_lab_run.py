"""tests/lab/run passes a command into the lab kernel as if it ran here."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.lab.runner import take_processor
from tests.lab.wire import Frames, Kind, frame

REPOSITORY = Path(__file__).resolve().parents[2]
RUN = REPOSITORY / "tests/lab/run"
UNTOUCHED = Path("/etc/dcedge-lab-test")

EVERYTHING = f"""
printf '<%s>' "$@"; echo
printf '%s\\n' "$PROBE"
pwd
cat
echo to stderr >&2
[ -t 0 ] || [ -t 1 ] || [ -t 2 ] || echo no terminal
mkdir "$LAB_OUT/folder" && echo result >"$LAB_OUT/folder/file"
echo changed >{UNTOUCHED}
{RUN} sh -c 'echo nested in ${{LAB:+the lab}}'
sleep 100 &
exit 23
"""

NETWORK = """
set -e
ip link add port type veth peer name cloud
ip link add gateway type vrf table 100
ip link add link port name port.101 type vlan id 101
ip link set port.101 master gateway
ip link set port up && ip link set gateway up && ip link set port.101 up
tc qdisc add dev port.101 root handle 1: htb default 1
tc class add dev port.101 parent 1: classid 1:1 htb rate 50mbit
tc qdisc add dev port.101 parent 1:1 fq_codel
tc qdisc add dev cloud root netem delay 1ms
ip -o -d link show port.101 | grep -o '802.1Q id 101'
tc qdisc show dev port.101 | cut -d ' ' -f 2
hostname
ping -c 1 -q ::1 >/dev/null && echo loopback
stat -c %U /run/frr
"""


def lab(
    *arguments: str, env: dict[str, str] | None = None, cwd: Path | None = None, text: str = ""
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [RUN, *arguments],
        cwd=cwd,
        input=text,
        env={key: value for key, value in os.environ.items() if key != "LAB"} | (env or {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def test_everything_passes_through(tmp_path: Path) -> None:
    folder = tmp_path / "a folder's name"
    folder.mkdir()
    words = ["two words", "it's", 'a "quote"', "", "$HOME", "--timeout", "ünï"]
    value = "two\nlines 'and' \"quotes\" \\ $X"
    result = lab(
        "--out",
        str(tmp_path / "out"),
        "sh",
        "-c",
        EVERYTHING,
        "sh",
        *words,
        cwd=folder,
        text="in\nput\n",
        env={"PROBE": value},
    )

    assert result.stdout.splitlines() == [
        "".join(f"<{word}>" for word in words),
        *value.splitlines(),
        str(folder),
        "in",
        "put",
        "no terminal",
        "nested in the lab",
    ]
    assert result.stderr == "to stderr\n"
    assert result.returncode == 23
    assert (tmp_path / "out/folder/file").read_text() == "result\n"
    assert not UNTOUCHED.exists(), "what a command changes in the lab must not stay"


def test_the_kernel_has_what_the_product_needs() -> None:
    result = lab("sh", "-c", NETWORK)
    assert result.stdout.split("\n") == ["802.1Q id 101", "htb", "fq_codel", "lab", "loopback", "frr", ""], (
        result.stderr
    )
    assert result.returncode == 0


def test_the_lab_kernel_keeps_to_one_processor() -> None:
    words = [str(RUN), "sh", "-c", "echo up; read end"]
    environment = {key: value for key, value in os.environ.items() if key != "LAB"} | {"LAB_KERNEL": "uml"}
    pipe = subprocess.PIPE
    with subprocess.Popen(words, env=environment, stdin=pipe, stdout=pipe, text=True) as runner:
        assert runner.stdout is not None
        assert runner.stdout.readline() == "up\n"
        family = descendants(runner.pid)
        assert len(family) > 2
        assert len({frozenset(os.sched_getaffinity(pid)) for pid in family}) == 1
        assert len(os.sched_getaffinity(family[0])) == 1


def test_a_command_that_hangs_is_ended_after_the_timeout() -> None:
    result = lab("--timeout", "4", "sh", "-c", "trap 'echo asked to end; exit' TERM; sleep 100 & wait")
    assert result.returncode == 124, result.stderr
    assert result.stdout in {"asked to end\n", ""}, "nothing but what a slow boot left it time for"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_the_runner_is_killed(number: signal.Signals) -> None:
    with subprocess.Popen([RUN, "sh", "-c", "echo up; exec sleep 100"], stdout=subprocess.PIPE, text=True) as runner:
        try:
            assert runner.stdout is not None
            assert runner.stdout.readline() == "up\n"
            family = descendants(runner.pid)
            assert family
            runner.send_signal(number)
            assert runner.wait(20) == (128 + number if number == signal.SIGTERM else -number)
        finally:
            runner.kill()
    deadline = time.monotonic() + 10
    while alive := [pid for pid in family if is_alive(pid)]:
        assert time.monotonic() < deadline, f"still there: {alive}"
        time.sleep(0.05)


def descendants(pid: int) -> list[int]:
    """The process's children and theirs, at this moment."""
    try:
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []
    return children + [below for child in children for below in descendants(child)]


def is_alive(pid: int) -> bool:
    """Neither gone nor a zombie that its new parent has not collected yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"LAB_KERNEL": "uml", "PATH": "/nowhere"}, "User-Mode Linux is not installed"),
        ({"LAB_KERNEL": "uml", "LAB_MEM": "9000G"}, "of which this machine has"),
        ({"LAB_MEM": "much", "LAB_KERNEL": "uml"}, "LAB_MEM=much is not a size"),
        ({"LAB_KERNEL": "bsd"}, "LAB_KERNEL=bsd is none of"),
    ],
)
def test_where_no_kernel_will_do_it_says_why(environment: dict[str, str], reason: str) -> None:
    result = lab("true", env=environment)
    assert reason in result.stderr
    assert result.returncode == 69


@pytest.mark.parametrize(("script", "status"), [("exit 0", 0), ("kill -9 $$", 137), ("exec /nowhere/to/be/found", 127)])
def test_exit_statuses_nest(script: str, status: int) -> None:
    quoted = shlex.join([str(RUN), "sh", "-c", script])
    assert lab("sh", "-c", quoted, env={"LAB": "uml"}).returncode == status


def test_frames_survive_being_cut_anywhere() -> None:
    stream = frame(Kind.STDOUT, b"\x00\xff" * 300) + frame(Kind.STATUS, b"0") + frame(Kind.STDIN)
    for size in (1, 3, 4, 5, 6, 599, 10000):
        frames = Frames()
        pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
        assert [got for piece in pieces for got in frames.feed(piece)] == [
            (Kind.STDOUT, b"\x00\xff" * 300),
            (Kind.STATUS, b"0"),
            (Kind.STDIN, b""),
        ]


def test_lab_kernels_are_spread_over_the_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {1006, 1007})
    first, held = take_processor()
    second, also_held = take_processor()
    third, _ = take_processor()
    assert [first, second, third] == [1006, 1007, 1006]
    also_held.close()
    assert take_processor()[0] == 1007
    held.close()
