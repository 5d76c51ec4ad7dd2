"""What the virtual interfaces of an order can really carry, for `check`."""

from __future__ import annotations

from collections.abc import Collection

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dcedge.kernel.queue.wire import PACKET_SIZES, carried_bps
from dcedge.order.resolve import ResolvedInterface
from dcedge.units import format_rate

MOST_ROWS = 20


def print_capacity(console: Console, interfaces: Collection[ResolvedInterface]) -> None:
    """A row a virtual interface: what is ordered, and what IP packets of a size get of it."""
    if not interfaces:
        return
    table = Table(box=None, pad_edge=False, show_header=True, header_style="bold")
    table.add_column("virtual interface", overflow="fold")
    for title in ("ordered", *(f"{size:,} bytes" for size in PACKET_SIZES)):
        table.add_column(title, justify="right")
    for interface in list(interfaces)[:MOST_ROWS]:
        rates = (interface.shaped_bps, *(carried_bps(interface, size) for size in PACKET_SIZES))
        table.add_row(Text(interface.name), *(Text(format_rate(rate)) for rate in rates))
    console.print()
    console.print(table)
    if len(interfaces) > MOST_ROWS:
        console.print(f"and {len(interfaces) - MOST_ROWS} more (--json has them all)")
    console.print("What IP packets of that size get of it: a frame has 14 bytes more, and on the wire 38 and 4 a tag.")


def capacity_json(interfaces: Collection[ResolvedInterface]) -> dict[str, dict[str, int]]:
    """The same as plain JSON values: bits a second by virtual interface and packet size in bytes."""
    return {
        interface.name: {str(size): int(carried_bps(interface, size)) for size in PACKET_SIZES}
        for interface in interfaces
    }
