"""How FRR must have been started for what is ordered, and what is wrong with how it was.

A daemon's command line and limits are in /proc, which hides them from the agent as it is packaged (ProtectProc=). Then
what /etc/frr/daemons says counts: what FRR was started with, unless somebody has changed the file since.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dcedge.frr.daemons_file import DAEMONS_FILE, read_daemons_file
from dcedge.frr.descriptors import NO_OTHERS, Need, Others, needs
from dcedge.frr.vty import DAEMONS, WITHOUT_BFD
from dcedge.order.resolve import ResolvedInterface

DESCRIPTORS_DEFAULT = 1024  # frr.service's LimitNOFILE=
_UNLIMITED = 1 << 62
_REPLACES_IPV6 = "--v6-rr-semantics"  # zebra(8)
_RETAIN = re.compile(r"-r|--ret[a-z]*")
_LIMIT = re.compile(r"--lim[a-z-]*")
_SWEEP_LATE = re.compile(r"-K.*|--gr[a-z]*_.*")


@dataclass(frozen=True, slots=True)
class Limit:
    """How many files a daemon may have open; who says so; and the setting that would, as in `MAX_FDS=`."""

    count: int
    said: str
    setting: str = "MAX_FDS="


@dataclass(frozen=True, slots=True)
class Started:
    """What can be known here of FRR's daemons: `processes` are their process IDs by name, as far as they run."""

    processes: Mapping[str, int]
    file: Path = DAEMONS_FILE
    proc: Path = field(default=Path("/proc"))

    def options(self, daemon: str) -> tuple[str, ...] | None:
        """The words of a running daemon's command line, else of the file; None where they cannot be known."""
        words = self._of_process(daemon, "cmdline").split("\0")[1:]
        if words:
            return tuple(words)
        file = read_daemons_file(self.file)
        return file.options(daemon) if file is not None else None

    def descriptors(self, daemon: str) -> Limit | None:
        """How many files a daemon may have open; None where that cannot be known.

        As many as its process may, or as few as its own option says (lib/thread.c, thread_master_create).
        """
        found, option = self._descriptors_of_process(daemon), _limit_in(self.options(daemon) or ())
        if option is not None and (found is None or option < found.count):
            return Limit(option, f"--limit-fds gives {daemon}", f"{daemon}_options to --limit-fds ")
        return found

    def _descriptors_of_process(self, daemon: str) -> Limit | None:
        for line in self._of_process(daemon, "limits").splitlines():
            if line.startswith("Max open files"):
                word = line.removeprefix("Max open files").split()[0]  # the soft limit, proc(5)
                return Limit(int(word) if word.isdigit() else _UNLIMITED, f"{daemon} runs with")
        file = read_daemons_file(self.file)
        limit = file.descriptors(DESCRIPTORS_DEFAULT) if file is not None else None
        return Limit(limit, f"{self.file} gives FRR") if limit is not None else None

    def _of_process(self, daemon: str, name: str) -> str:
        if daemon not in self.processes:
            return ""
        try:
            return (self.proc / str(self.processes[daemon]) / name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""


def needed_daemons(interfaces: Iterable[ResolvedInterface]) -> tuple[str, ...]:
    """The daemons that the order needs: bfdd only where any session has BFD."""
    with_bfd = any(session.bfd for interface in interfaces for session in interface.sessions)
    return DAEMONS if with_bfd else WITHOUT_BFD


def start_problems(
    interfaces: Collection[ResolvedInterface], started: Started, others: Others = NO_OTHERS
) -> Iterator[str]:
    """What of FRR's start does not fit the order and what others have, or cannot be checked, in words."""
    yield from too_few_descriptors(interfaces, started, others)
    for need in _needs(interfaces, started, others):
        if started.descriptors(need.daemon) is None and need.count > DESCRIPTORS_DEFAULT:
            yield _unknown(f"whether {need.daemon} has file descriptors for {need.what}", started)
    for judge in (_ipv6_is_not_replaced, _routes_do_not_stay):
        if problem := judge(interfaces, started):
            yield problem


def too_few_descriptors(
    interfaces: Collection[ResolvedInterface],
    started: Started,
    others: Others = NO_OTHERS,
    before: Collection[ResolvedInterface] = (),
) -> Iterator[str]:
    """The daemons that are known to have too few file descriptors: at the one too many a daemon of FRR's aborts.

    Not those that need no more than `before`.
    """
    known = {need.daemon: need.count for need in needs(before, others)} if before else {}
    for need in _needs(interfaces, started, others):
        limit = started.descriptors(need.daemon)
        if limit is not None and limit.count < need.count and need.count > known.get(need.daemon, 0):
            yield (
                f"{limit.said} {limit.count} file descriptors, too few for {need.what}:"
                f" set {limit.setting}{need.enough} in {started.file} and restart FRR"
            )


def _needs(interfaces: Collection[ResolvedInterface], started: Started, others: Others) -> list[Need]:
    """What each daemon needs that runs, that FRR will start, or that the order needs."""
    file = read_daemons_file(started.file)
    wanted = {*needed_daemons(interfaces), *started.processes}
    return [
        need
        for need in needs(interfaces, others)
        if need.daemon in wanted or (file is not None and file.starts(need.daemon))
    ]


def _ipv6_is_not_replaced(interfaces: Collection[ResolvedInterface], started: Started) -> str | None:
    """Without the option zebra deletes an IPv6 route and then adds its successor (measured: now and then one packet of
    1,000 a second is lost); an IPv4 route is replaced in one step."""
    paths = Counter(i.virtual_gateway for i in interfaces if any(s.family == "ipv6" for s in i.sessions))
    if "zebra" not in started.processes or max(paths.values(), default=0) < 2:
        return None
    words = started.options("zebra")
    if words is None:
        return _unknown(f"whether zebra runs with {_REPLACES_IPV6}, without which a drain may lose a packet,", started)
    if _REPLACES_IPV6 in words:
        return None
    return (
        "zebra deletes an IPv6 route before it adds its successor, so a drain may lose a packet:"
        f" add {_REPLACES_IPV6} to zebra_options in {started.file} and restart FRR"
    )


def _routes_do_not_stay(interfaces: Collection[ResolvedInterface], started: Started) -> str | None:
    """Without `-r` zebra takes bgpd's routes out of the kernel when it ends, without `-K` as soon as it is back."""
    graceful = sorted(i.name for i in interfaces if any(s.graceful_restart for s in i.sessions))
    if "zebra" not in started.processes or not graceful:
        return None
    words = started.options("zebra")
    whose = graceful[0] + (f" and {len(graceful) - 1} more" if len(graceful) > 1 else "")
    if words is None:
        return _unknown(f"whether zebra runs with -r -K 120, as graceful restart of {whose} needs,", started)
    if all(any(option.fullmatch(word) for word in words) for option in (_RETAIN, _SWEEP_LATE)):
        return None
    return (
        f"zebra does not keep its routes over a restart of FRR, as graceful restart of {whose} needs:"
        f" add -r -K 120 to zebra_options in {started.file} and restart FRR"
    )


def _limit_in(options: Sequence[str]) -> int | None:
    """The last that options say of file descriptors, which is what FRR takes."""
    found = None
    for word, after in zip(options, (*options[1:], ""), strict=False):
        name, _, value = word.partition("=")
        said = value or after
        if _LIMIT.fullmatch(name) and said.isascii() and said.isdigit():
            found = int(said) or None  # 0: no limit of its own
    return found


def _unknown(what: str, started: Started) -> str:
    file = started.file
    why = f"{file} has more than variable assignments"
    if read_daemons_file(file) is None:
        why = f"{file} cannot be read (`chmod g+x {file.parent}` lets the group frr, in which the agent is)"
    return f"{what} cannot be checked: /proc does not show the process, and {why}"
