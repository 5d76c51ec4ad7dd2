"""`dcedge run` with a timer beside it: `python -m tests.bench.ticking FILE` writes to FILE how late that came at worst.

In milliseconds: so long was the event loop held since the file was last taken away. The process is loaded as
`dcedge run` loads it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from dcedge.reconcile import memory

TICK_SECONDS = 0.005


def noted(file: Path, worst: float, late: float) -> float:
    """The worst lateness, written down in milliseconds where it is a new one; anew once the file was taken away."""
    if file.exists() and late <= worst:
        return worst
    file.write_text(f"{late * 1000:.1f}")
    return late


async def watched(running: Coroutine[Any, Any, None], file: Path) -> None:
    """Run something to its end, with the timer beside it."""
    import asyncio

    async def watch() -> None:
        worst = 0.0
        while True:
            due = time.monotonic() + TICK_SECONDS
            await asyncio.sleep(TICK_SECONDS)
            worst = noted(file, worst, time.monotonic() - due)

    watcher = asyncio.get_running_loop().create_task(watch())
    try:
        await running
    finally:
        watcher.cancel()


def main(file: Path) -> None:
    """Run the daemon as the environment says."""
    memory.prepare()

    from dcedge.cli.entry import main as dcedge
    from dcedge.daemon.service import Service

    serve_unwatched = Service.serve

    async def serve(service: Service) -> None:
        await watched(serve_unwatched(service), file)

    Service.serve = serve  # type: ignore[method-assign,assignment]
    sys.argv = ["dcedge", "run"]
    dcedge()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
