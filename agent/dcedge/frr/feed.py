"""Configuration lines into FRR's daemons over their vty sockets, each line to the daemon that needs it.

vtysh sends a prefix-list to every daemon that knows the command, and each works it in while it does nothing else: a
long list costs bfdd its sessions. Only bgpd reads ours. Each line has an answer of its own here, with a status, so that
a refusal is never guessed from what is printed.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Self

from dcedge.errors import FrrError, FrrUnavailableError
from dcedge.frr.config import mask
from dcedge.frr.state import escape
from dcedge.logging.masking import hide

# Lines that FRR's northbound commits; every commit looks at all that is configured, and all in one commit stop a daemon
# for seconds (11 s for 1,700 entries of a prefix-list in 8.4). Pieces of this many take it 0.8 s at the most there.
PIECE_LINES = 100
LINE_SECONDS = 15.0  # the longest that one line has been seen to take is a second: `no router bgp` with 1,000 peers
_COMMITTED = ("ip ", "ipv6 ", "route-map ", "no ip ", "no ipv6 ", "no route-map ", "bfd", "no bfd")
_BEGIN, _END = "XFRR_start_configuration", "XFRR_end_configuration"  # what vtysh puts around a file (lib/command.c)
_REPLY_END = b"\0\0\0"  # then one byte, the status (vtysh_read in lib/vty.c)
_ANSWER_MAX = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """One line that FRR refused, secrets hidden."""

    line: str
    said: str

    def __str__(self) -> str:
        return f"`{self.line}`: {self.said}"


class FrrRejectedError(FrrError):
    """FRR refused lines of a change; it has applied the others."""

    def __init__(self, failures: tuple[RefusedLine, ...]) -> None:
        more = f" (and {len(failures) - 5} more)" if len(failures) > 5 else ""
        super().__init__("FRR refused " + "; ".join(str(failure) for failure in failures[:5]) + more)
        self.failures = failures


class Vty:
    """A connection to one daemon's vty socket, in its enable node. OSError: there is none."""

    def __init__(self, path: Path, seconds: float) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(max(seconds, 0.01))
            self._socket.connect(str(path))
            self.ask("enable", seconds)
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close it. What was begun and not committed is gone."""
        self._socket.close()

    def ask(self, command: str, seconds: float) -> tuple[str, int]:
        """What the daemon prints for a command, and its status: 0 is success (CMD_SUCCESS in lib/command.h).

        Raises:
            TimeoutError: It does not answer in time.
            OSError: It has gone.
        """
        deadline = time.monotonic() + seconds
        self._socket.settimeout(max(seconds, 0.01))
        self._socket.sendall(command.encode() + b"\0")
        answer = bytearray()
        while len(answer) < 4 or answer[-4:-1] != _REPLY_END:
            self._socket.settimeout(max(deadline - time.monotonic(), 0.01))
            piece = self._socket.recv(1 << 18)
            if not piece:
                raise ConnectionResetError("closed in the middle of an answer")
            answer += piece
            if len(answer) > _ANSWER_MAX:
                raise ConnectionResetError("the answer does not end")
        return answer[:-4].decode("utf-8", "backslashreplace"), answer[-1]


@dataclass(frozen=True, slots=True)
class Block:
    """A line that stands by itself or opens a context, with all that follows in there; each as it is indented."""

    lines: tuple[str, ...]

    @property
    def daemon(self) -> str:
        """Who needs it: nobody but bgpd looks at our prefix-lists and route-maps."""
        return "bfdd" if self.lines[0].removeprefix("no ") == "bfd" else "bgpd"

    @property
    def committed(self) -> bool:
        """Whether FRR's northbound commits it."""
        return self.lines[0].startswith(_COMMITTED)


def blocks_of(text: str) -> Iterator[Block]:
    """The text, cut where a line is not indented; `exit` closes what came before it."""
    block: list[str] = []
    for line in text.splitlines():
        if block and not line.startswith(" ") and line != "exit":
            yield Block(tuple(block))
            block = []
        block.append(line)
    if block:
        yield Block(tuple(block))


def pieces_of(blocks: Iterable[Block]) -> Iterator[tuple[Block, ...]]:
    """Blocks that are committed together: PIECE_LINES or a little more, and no context cut in two."""
    piece: list[Block] = []
    lines = 0
    for block in blocks:
        piece.append(block)
        lines += len(block.lines)
        if lines >= PIECE_LINES:
            yield tuple(piece)
            piece, lines = [], 0
    if piece:
        yield tuple(piece)


def feed(text: str, connect: Callable[[str], Vty], only: str | None = None) -> tuple[RefusedLine, ...]:
    """Feed configuration text to the daemons (or all of it to one); what each refused, in the text's order.

    What follows a refused line is fed all the same, but for what stands in the context that it would have opened.

    Raises:
        FrrUnavailableError: A daemon does not answer (any more), or somebody has locked its configuration.
    """
    failures: list[RefusedLine] = []
    open_now: dict[str, Vty] = {}
    try:
        for (daemon, committed), blocks in groupby(
            blocks_of(text), lambda block: (only or block.daemon, block.committed)
        ):
            if daemon not in open_now:
                open_now[daemon] = _configuring(daemon, connect)
            target = _Target(daemon, open_now[daemon])
            for piece in pieces_of(blocks):
                failures += target.commit(piece) if committed else target.feed(piece)
        for daemon, vty in open_now.items():
            _Target(daemon, vty).ask("end")
    finally:
        for vty in open_now.values():
            vty.close()
    return tuple(failures)


def _configuring(daemon: str, connect: Callable[[str], Vty]) -> Vty:
    vty = connect(daemon)
    try:
        said, status = _Target(daemon, vty).ask("configure terminal")
        if status:
            raise FrrUnavailableError(f"{daemon} cannot be configured now: {_cleaned(said, '')}")
    except BaseException:
        vty.close()
        raise
    return vty


@dataclass(frozen=True, slots=True)
class _Target:
    """A daemon that is being configured."""

    daemon: str
    vty: Vty

    def ask(self, command: str) -> tuple[str, int]:
        try:
            return self.vty.ask(command, LINE_SECONDS)
        except TimeoutError:
            raise FrrUnavailableError(
                f"{self.daemon} did not answer `{mask(command.strip())}` within {LINE_SECONDS:g} s"
            ) from None
        except OSError as error:
            raise FrrUnavailableError(
                f"{self.daemon} went away at `{mask(command.strip())}`: {error.strerror or error}"
            ) from None

    def feed(self, blocks: Iterable[Block]) -> list[RefusedLine]:
        failures = []
        for block in blocks:
            refused_depth: int | None = None
            for line in block.lines:
                command = line.strip(" ")
                depth = len(line) - len(line.lstrip(" "))
                if refused_depth is not None:
                    if depth > refused_depth or (depth == refused_depth and command.startswith("exit")):
                        continue
                    refused_depth = None
                said, status = self.ask(command)
                if status:
                    refused_depth = depth
                    failures.append(RefusedLine(mask(command), _cleaned(said, command) or f"status {status}"))
        return failures

    def commit(self, blocks: tuple[Block, ...]) -> list[RefusedLine]:
        """Feed the blocks as one commit; where that is refused, each line as one, so that the rest of them stays."""
        if sum(len(block.lines) for block in blocks) == 1:
            return self.feed(blocks)
        self.ask(_BEGIN)
        failures = self.feed(blocks)
        said, status = self.ask(_END)
        return failures if not (failures or said.strip() or status) else self.feed(blocks)


def _cleaned(said: str, command: str) -> str:
    """What a daemon says of a line, without the line (it may hold a secret, and is told beside it)."""
    texts = (line.strip("% ").strip() for line in said.splitlines())
    told = "; ".join(text for text in texts if text)
    if command:
        told = told.replace(command, "").strip(" :")
    return escape(hide(mask(told)))
