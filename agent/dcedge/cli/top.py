"""`dcedge top`: the overview in a terminal, live, the worst first; piped, one look and no more.

Rows are Text, never markup, so that no name or peer can colour or hide anything.
"""

from __future__ import annotations

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from dcedge.api.overview import GRAVITY, MOST_ROWS, PLANNED, LineDocument, Overview, RowDocument, Wanted
from dcedge.cli.print_status import STYLES
from dcedge.errors import DcedgeError
from dcedge.units import format_rate, format_seconds

_BARS = "▁▂▃▄▅▆▇█"
_SPARK = 20  # characters
_BESIDES = 6  # lines that are neither connections nor virtual interfaces
_WIDE, _MIDDLING = 130, 100
_HINT = "q quits   v shows another verdict"

Ask = Callable[[Wanted], Overview]


def run_top(console: Console, ask: Ask, wanted: Wanted, interval: float) -> None:
    """Show the overview until somebody presses q; where nobody can, once. Raises what `ask` does at the first look."""
    if not (console.is_terminal and sys.stdin.isatty()):
        console.print(frame(ask(wanted._replace(most=MOST_ROWS)), wanted, console.width))
        return
    seen = ask(_fitting(wanted, console.height))
    lost = ""
    with _keys() as pressed, Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            shown = frame(seen, wanted, console.width, height=console.height, lost=lost)
            live.update(shown, refresh=True)
            match pressed(interval):
                case "q" | "\x03" | "\x04":
                    return
                case "v":
                    wanted = wanted._replace(verdict=_next_verdict(wanted.verdict))
            try:
                seen, lost = ask(_fitting(wanted, console.height)), ""
            except DcedgeError as error:
                lost = str(error)  # restarted, perhaps


def _fitting(wanted: Wanted, height: int) -> Wanted:
    return wanted._replace(most=height)


def _next_verdict(verdict: str) -> str:
    choices = ("", *GRAVITY, PLANNED)
    return choices[(choices.index(verdict) + 1) % len(choices)]


@contextmanager
def _keys() -> Iterator[Callable[[float], str]]:
    """A way to wait for a key, so many seconds at most; keys come one by one and unseen, as long as this lasts."""
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)

    def pressed(seconds: float) -> str:
        # A resized window interrupts nothing (PEP 475), so this is really how long it takes.
        ready, _, _ = select.select([terminal], [], [], seconds)
        return os.read(terminal, 1).decode(errors="replace") or "q" if ready else ""

    tty.setcbreak(terminal)
    try:
        with suppress(KeyboardInterrupt):
            yield pressed
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def frame(seen: Overview, wanted: Wanted, width: int, *, height: int | None = None, lost: str = "") -> Group:
    """One look, at most `height` lines high."""
    lines = seen["connections"]
    room = None if height is None else max(1, height - _BESIDES)
    if room is not None:
        lines = lines[: max(1, room // 4)]
    rows = seen["virtual_interfaces"]
    if room is not None:
        rows = rows[: max(1, room - len(lines))]
    left = seen["matching"] - len(rows)
    foot = Text(f"and {left} more   " if left else "", "dim")
    foot.append(lost, "bold red") if lost else foot.append(_HINT if height is not None else "", "dim")
    return Group(_head(seen, wanted), "", _connections(lines), "", _interfaces(rows, width), *([foot] if foot else []))


def _head(seen: Overview, wanted: Wanted) -> Text:
    router = seen["router"]
    head = Text.assemble(
        (router["hostname"], "bold"), f"  {time.strftime('%H:%M:%S', time.localtime(router['taken_at']))}"
    )
    for verdict, count in seen["verdicts"].items():
        head.append(f"  {count} {verdict}", STYLES[verdict])
    if seen["planned"]:
        head.append(f"  {seen['planned']} planned", "dim")
    if not seen["frr"]["available"]:
        head.append("  FRR does not answer", "bold red")
    if seen["order"]["load_failed"]:
        head.append("  the order file was refused", "bold red")
    if seen["failing"]:
        head.append(f"  {len(seen['failing'])} operations pending", "yellow")
    asked = " ".join(filter(None, (wanted.verdict, wanted.text)))
    if asked:
        head.append(f"  (only: {asked})", "dim")
    return head


def _connections(lines: Sequence[LineDocument]) -> Table:
    table = _table("CONNECTION", "PORT", "CARRIER", "BANDWIDTH", "IN", "OUT", "VIRTUAL INTERFACES", right=(3, 4, 5))
    for line in lines:
        carrier = {True: Text("yes"), False: Text("none", "bold red"), None: Text("unknown")}[line["carrier"]]
        table.add_row(
            Text(line["name"], "bold"),
            Text(line["port"]),
            carrier if line["present"] else Text("no such port", "bold red"),
            Text(format_rate(line["bandwidth_bps"])),
            Text(format_rate(line["receive_bps"])),
            Text(format_rate(line["transmit_bps"])),
            Text("  ").join(Text(f"{count} {verdict}", STYLES[verdict]) for verdict, count in line["verdicts"].items()),
        )
    return table


def _interfaces(rows: Sequence[RowDocument], width: int) -> Table:
    wide, middling = width >= _WIDE, width >= _MIDDLING
    headers = ["VIRTUAL INTERFACE", "VERDICT", "ORDERED", "IN", "OUT", "RTT", "LOSS"]
    headers += ["BGP", "RTT, LAST HOUR"] if middling else []
    headers += ["LOSS, LAST HOUR"] if wide else []
    table = _table(*headers, "WHY", right=(2, 3, 4, 5, 6))
    for row in rows:
        used = row["used"]
        planned = row["admin"] == PLANNED
        cells = [
            Text(row["name"], "bold"),
            Text(f"{row['verdict']} (planned)", "dim") if planned else Text(row["verdict"], STYLES[row["verdict"]]),
            Text("-" if row["ordered_bps"] is None else format_rate(row["ordered_bps"])),
            _used(used["receive_bps"] if used else None, row["ordered_bps"]),
            _used(used["transmit_bps"] if used else None, row["ordered_bps"]),
            Text("-" if row["rtt_seconds"] is None else format_seconds(row["rtt_seconds"])),
            Text("-" if row["loss"] is None else f"{row['loss']:.1%}", "red" if row["loss"] else ""),
        ]
        if middling:
            cells.append(_sessions(row))
            cells.append(Text(spark([*row["rtt_hour_seconds"], row["rtt_seconds"]]), "blue"))
        if wide:
            cells.append(Text(spark([*row["loss_hour"], row["loss"]], floor=0.1), "red"))
        table.add_row(*cells, Text("" if row["verdict"] == "up" else row["reason"], overflow="ellipsis", no_wrap=True))
    return table


def _sessions(row: RowDocument) -> Text:
    """How many of the sessions are up."""
    if row["routing"] == "static":
        return Text("static")
    return Text(f"{row['sessions_up']}/{row['sessions']}", "red" if row["sessions_up"] < row["sessions"] else "")


def _used(bps: float | None, ordered: int | None) -> Text:
    full = bps is not None and ordered is not None and bps > 0.95 * ordered
    return Text("-" if bps is None else format_rate(bps), "bold yellow" if full else "")


def spark(points: Sequence[float | None], *, floor: float = 0.0, length: int = _SPARK) -> str:
    """The points as a row of bars, the latest at the right; a blank where nothing is known. `floor`: least full height.

    A bar of several points is as high as the highest of them.
    """
    each = -(-max(len(points), 1) // length)
    padded = [None] * (each * length - len(points)) + list(points)
    highest = max((p for p in points if p is not None), default=0.0)
    top = max(highest, floor) or 1.0
    bars = []
    for start in range(0, len(padded), each):
        known = [p for p in padded[start : start + each] if p is not None]
        bars.append(_BARS[min(len(_BARS) - 1, int(max(known) / top * len(_BARS)))] if known else " ")
    return "".join(bars)


def _table(*headers: str, right: tuple[int, ...]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", collapse_padding=True)
    for number, header in enumerate(headers):
        # Names and figures stay whole; where it is narrow, the last column gives way.
        last = number == len(headers) - 1
        table.add_column(header, no_wrap=not last, justify="right" if number in right else "left")
    return table
