"""A process that only probes: the agent's prober as the daemon runs it, on the ports that tests.bench.ports lays.

`python -m tests.bench.probing COUNT` until SIGTERM; then it prints what it knows as JSON.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
from ipaddress import ip_address

from dcedge.probe.prober import Prober
from dcedge.probe.target import Target
from dcedge.reconcile import memory
from tests.bench.ports import addresses


def targets(count: int) -> list[Target]:
    """One virtual interface a port, probed once a second."""
    found = []
    for n in range(count):
        customer, cloud = map(ip_address, addresses(n))
        index = socket.if_nametoindex(f"e{n}")
        found.append(Target(f"v{n}", f"c{n}", "ipv4", index, None, customer, cloud, 1.0))
    return found


async def probe(count: int) -> None:
    """Probe until told to end."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    prober = Prober()
    with memory.building():
        prober.set_targets(targets(count))
    prober.start()
    await stop.wait()
    stats = prober.stats()
    prober.close()
    keys = ("sent", "received", "lost", "late", "duplicates", "send_errors")
    print(json.dumps({key: sum(getattr(stream, key) for stream in stats) for key in keys}), flush=True)


if __name__ == "__main__":
    memory.prepare()
    asyncio.run(probe(int(sys.argv[1])))
