"""The machine: its clock, the source of its time stamps, and room on its disk."""

from __future__ import annotations

import os
from collections.abc import Iterator

from dcedge.monitor.preflight.check import CheckResult, PreflightInput

_CLOCK_SOURCE = "/sys/devices/system/clocksource/clocksource0"
_SLOW_CLOCKS = {"hpet", "acpi_pm", "jiffies", "pit"}
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
_TIMEX_BYTES = 256  # struct timex has 208
_LITTLE, _HARDLY_ANY = 200 << 20, 20 << 20  # bytes free


def time_is_synchronised(_: PreflightInput) -> Iterator[CheckResult]:
    """The kernel knows that its clock is kept right: logs of both ends, one-way delays and certificates rest on it."""
    state = _clock_state()
    if state is None:
        yield CheckResult("time", "unknown", "cannot check whether the clock is synchronised")
    elif state == _TIME_ERROR:
        text = "the clock is not synchronised: its log cannot be compared with the cloud's"
        yield CheckResult("time", "warning", text, "systemctl enable --now systemd-timesyncd  # or chrony")
    else:
        yield CheckResult("time", "good", "the clock is synchronised")


def _clock_state() -> int | None:
    """adjtimex(2)'s; None for who is not root: the unit of the agent may not ask."""
    if os.geteuid() != 0:
        return None
    import ctypes  # noqa: PLC0415 - the daemon has no use for it

    state = int(ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES)))  # modes 0: nothing is set
    return state if state >= 0 else None


def clock_source(router: PreflightInput) -> Iterator[CheckResult]:
    """Time is read from the processor: the slow sources cost a microsecond and more a packet and a probe."""
    current = router.host.read(f"{_CLOCK_SOURCE}/current_clocksource")
    if current is None:
        return
    if current not in _SLOW_CLOCKS:
        yield CheckResult("clock source", "good", current)
        return
    others = set((router.host.read(f"{_CLOCK_SOURCE}/available_clocksource") or "").split()) - _SLOW_CLOCKS
    mend = "check `dmesg | grep -i tsc` for why the kernel rejected the TSC"
    if others:
        mend = f"echo {min(others)} > {_CLOCK_SOURCE}/current_clocksource"
    yield CheckResult("clock source", "warning", f"{current}: each time stamp costs a microsecond or more", mend)


def disk(router: PreflightInput) -> Iterator[CheckResult]:
    """There is room where the state is kept: without it an order is in force, and forgotten at the next start."""
    place = router.host.path(str(router.state_dir))
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        found = os.statvfs(place)
    except OSError as error:
        yield CheckResult("disk", "unknown", f"{place}: {error.strerror}")
        return
    free = found.f_bavail * found.f_frsize
    full = free < _HARDLY_ANY or (found.f_files and not found.f_favail)
    if free >= _LITTLE and not full:
        yield CheckResult("disk", "good", f"{free >> 20} MB free for {router.state_dir}")
        return
    text = f"{free >> 20} MB and {found.f_favail} files left for {router.state_dir}"
    yield CheckResult("disk", "wrong" if full else "warning", text, f"du -xh --max-depth=2 {place} | sort -h | tail")
