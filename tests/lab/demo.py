"""The demo: what dcedge is for, on real parts, in under a minute; `make demo` and `make shell` run it."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.lab import traffic
from tests.lab.bed import ORDER, ORDERED_BPS, Bed
from tests.lab.netns import CommandError, Workspace, leave_on_signals
from tests.lab.wait import until

TOLERANCE = 0.02
MEASURED_SECONDS = 3.0
ATTEMPTS = 3
WATCHED = ("/etc/dcedge", "/run/dcedge", "/var/lib/dcedge")  # where dcedge works unless told otherwise
ROOT = Path(__file__).parents[2]

INTRO = """\
[bold]dcedge demo[/]: one order file becomes a router.

Built here, in network namespaces: a customer's edge router with real FRR and the real dcedge daemon; two leased
lines (veth pairs as fibres, [cyan]fra-1[/] and [cyan]fra-2[/]); behind them two virtual gateways of a cloud,
[cyan]prod[/] run by BIRD and [cyan]dev[/] by another FRR, each with a host in its VPC. The order,
{order}, asks for three virtual interfaces; the clouds were configured by hand, without
dcedge. What counts is what arrives at the far end of the fibre.
"""

SHELL_HINT = """
[bold]You are on the edge router.[/] `dcedge` works on it; leave with `exit`, and all of this is gone.
  dcedge status                    what it sees            dcedge plan     what it would change (nothing)
  ip -d link show vi-prod-a        the kernel's side       vtysh           FRR's side
  ip link del eth1.101             break it by hand, then look at `dcedge status`: it is back
  cut fra-1; dcedge status         cut a fibre (splice fra-1 mends it): prod's IPv4 moves to prod-b
  nano "$DCEDGE_ORDER"; dcedge plan; dcedge apply          change what was ordered
  ping 10.20.0.10                  the host in vpc-prod    curl -s localhost:9478/metrics   Prometheus's view
"""

SHELL_RC = """\
PS1='\\[\\e[1m\\]edge\\[\\e[0m\\] # '
unset HISTFILE
cut() {{ ip -n {exchange} link set dev "$1" down; }}
splice() {{ ip -n {exchange} link set dev "$1" up; }}
vtysh() {{ command vtysh -N {pathspace} "$@"; }}
"""


@dataclass(frozen=True)
class Row:
    """One virtual interface, ordered against measured. Rates in bits a second, time in seconds."""

    name: str
    ordered_bps: float
    measured_bps: float
    rtt_seconds: float | None
    verdict: str
    sessions: tuple[str, ...]

    @property
    def ratio(self) -> float:
        """Measured over ordered."""
        return self.measured_bps / self.ordered_bps

    @property
    def good(self) -> bool:
        """Whether it is what was ordered."""
        states = bool(self.sessions) and set(self.sessions) == {"Established"}
        return self.verdict == "up" and states and abs(self.ratio - 1) <= TOLERANCE


def main(words: list[str]) -> int:
    """Run the demo; returns 0 where every virtual interface is as ordered and nothing was left behind."""
    parser = argparse.ArgumentParser(prog="tests.lab.demo", description=__doc__)
    parser.add_argument("--shell", action="store_true", help="afterwards a shell on the edge (KEEP=1 does the same)")
    keep = parser.parse_args(words).shell or os.environ.get("KEEP", "0") not in {"", "0"}
    leave_on_signals()
    # Piped, lines keep their length.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    console.print(INTRO.format(order=escape(str(ORDER.relative_to(ROOT)))))
    before = _listing()
    bed = None
    try:
        with _step(console, "building the namespaces, fibres and clouds, starting FRR"):
            bed = Bed()
        with bed:
            rows = _show(console, bed)
            if keep:
                _shell(console, bed)
    except (AssertionError, subprocess.SubprocessError) as error:
        console.print(f"\n[red]The demo failed:[/] {escape(str(error))}")
        return 1
    finally:
        clean = bed is None or _nothing_left(console, bed.work, before)
    wrong = [row.name for row in rows if not row.good]
    if wrong:
        console.print(f"[red]Not as ordered:[/] {', '.join(wrong)}")
    return 0 if clean and not wrong else 1


def _show(console: Console, bed: Bed) -> list[Row]:
    """Bring dcedge up on the bed, measure, print; returns a row a virtual interface."""
    edge = bed.edge
    try:
        with _step(console, "starting dcedge on the edge: VLANs, addresses, shapers, BGP peers"):
            edge.start_daemon(forked=False)
        with _step(console, f"waiting for {', '.join(ORDERED_BPS)}: BGP Established, verdict up"):
            bed.wait_up(*ORDERED_BPS)
        with _step(console, "waiting for the LAN's host to reach the hosts in the VPCs"):
            for target in (target for name in ORDERED_BPS for target in bed.targets(name)):
                until(f"an answer from {target}", partial(traffic.reaches, edge.host, target))
        console.print("\n[bold]$ dcedge status[/]")
        console.file.flush()
        subprocess.run(edge.namespace.command("dcedge", "status"), env=edge.environment, check=True)
        console.print()
        rates: dict[str, tuple[float, float | None]] = {}
        for name in ORDERED_BPS:
            echo = traffic.ping(edge.namespace, bed.attachment(name).peers[0].address)
            rates[name] = _measure(console, bed, name), echo.average
        seen = edge.virtual_interfaces()
    except BaseException:
        console.print(f"\n{escape(bed.report())}")
        raise
    rows = [
        Row(
            name,
            ORDERED_BPS[name],
            *rates[name],
            seen[name]["verdict"],
            tuple(session["state"] for session in seen[name]["bgp"]),
        )
        for name in ORDERED_BPS
    ]
    console.print()
    console.print(_table(rows))
    console.print(
        "[dim]Measured: Ethernet frames, tag and FCS not counted, at the cloud's end of the fibre;"
        " RTT to the cloud's side, idle.[/]\n"
    )
    return rows


def _measure(console: Console, bed: Bed, name: str) -> float:
    """The rate of a virtual interface, in bits a second.

    A machine that does not give the lab its processor for a few milliseconds costs the shaper tokens, so too low a
    figure is measured again, and said; too high a one never is.
    """
    attachment = bed.attachment(name)
    for attempt in range(1, ATTEMPTS + 1):
        with _step(console, f"measuring {name}: {MEASURED_SECONDS:g} s of all that TCP can send"):
            rate = traffic.saturate(
                bed.edge.host, bed.targets(name), bed.trunk(name), attachment.tags, seconds=MEASURED_SECONDS
            )
        ratio = rate.bps / ORDERED_BPS[name]
        if ratio >= 1 - TOLERANCE or attempt == ATTEMPTS:
            break
        console.print(f"         {ratio:.3f} of what was ordered: is the machine busy? Once more.")
    return rate.bps


def _table(rows: list[Row]) -> Table:
    table = Table(title="ordered against measured", title_justify="left")
    table.add_column("virtual interface")
    for heading in ("ordered", "measured", "ratio", "RTT"):
        table.add_column(heading, justify="right")
    for heading in ("BGP", "verdict"):
        table.add_column(heading)
    for row in rows:
        colour = "green" if row.good else "red"
        table.add_row(
            row.name,
            f"{row.ordered_bps / 1e6:.0f} Mbit/s",
            f"{row.measured_bps / 1e6:.2f} Mbit/s",
            f"[{colour}]{row.ratio:.3f}[/]",
            "-" if row.rtt_seconds is None else f"{row.rtt_seconds * 1000:.2f} ms",
            escape(" + ".join(row.sessions)),
            f"[{colour}]{escape(row.verdict)}[/]",
        )
    return table


@contextmanager
def _step(console: Console, what: str) -> Iterator[None]:
    """Say what is being done, and how long it took once it is."""
    began = time.monotonic()
    if console.is_terminal:
        with console.status(f"{what} …"):
            yield
    else:
        yield
    console.print(f"[dim]{time.monotonic() - began:5.1f} s[/]  {what}")


def _shell(console: Console, bed: Bed) -> None:
    console.print(SHELL_HINT)
    rc = bed.work.folder / "shellrc"
    rc.write_text(SHELL_RC.format(exchange=bed.exchange.namespace.name, pathspace=bed.edge.frr.name), encoding="utf-8")
    terminal = sys.stdin.isatty()
    words = ["bash", "--noprofile", "--rcfile", str(rc), "-i"] if terminal else ["bash"]
    subprocess.run(bed.edge.namespace.command(*words), env={**bed.edge.environment, "BASH_ENV": str(rc)}, check=False)


def _listing() -> set[str]:
    """What lies in dcedge's usual places, which the demo has no business in."""
    return {str(path) for place in WATCHED for path in Path(place).glob("*")}


def _nothing_left(console: Console, work: Workspace, before: set[str]) -> bool:
    """Whether the machine is as it was; says what is left where it is not."""
    try:
        left = sorted({*work.remains(), *(_listing() - before)})
    except CommandError as error:
        left = [str(error)]
    for what in left:
        console.print(f"[red]left behind:[/] {escape(what)}")
    if not left:
        console.print("Nothing is left behind: no namespace, no process, no file.")
    return not left


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
