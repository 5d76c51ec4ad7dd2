# SPDX-License-Identifier: GPL-2.0-only
"""The `dcedge-capture` command.

    dcedge-capture PORT SECONDS

Writes to standard output, a line of JSON each: `{"listening": true}`, then a frame a line (`frames.described`) for that
long, at most 60 seconds; or `{"error": TEXT, "errno": NUMBER or null}`, and ends with status 1. It opens the packet
socket, which takes CAP_NET_RAW, and gives up everything before it reads the first frame.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from dcedge_capture.port import open_port, read_frame
from dcedge_capture.privileges import drop_privileges

SECONDS_MAX = 60
_FRAMES_MAX = 20_000
_STDOUT = 1


def main() -> None:
    """The entry point."""
    try:
        port, seconds = sys.argv[1], min(int(sys.argv[2]), SECONDS_MAX)
    except (IndexError, ValueError):
        sys.stderr.write("usage: dcedge-capture PORT SECONDS\n")
        raise SystemExit(2) from None
    try:
        _capture(port, seconds)
    except BrokenPipeError:
        pass  # who asked has heard enough
    except (OSError, ImportError) as error:
        number = error.errno if isinstance(error, OSError) else None
        _tell({"error": getattr(error, "strerror", None) or str(error), "errno": number})
        raise SystemExit(1) from None


def _capture(port: str, seconds: int) -> None:
    with open_port(port) as sock:
        # After the socket, so that this is no second lost, and before the privileges go: the code may lie in a folder
        # that nobody else may read.
        from dcedge_capture.frames import described  # noqa: PLC0415

        drop_privileges(seconds + 1)
        _tell({"listening": True})
        until = time.monotonic() + seconds
        for _ in range(_FRAMES_MAX):
            left = until - time.monotonic()
            if left <= 0:
                return
            sock.settimeout(left)
            try:
                frame = read_frame(sock)
            except TimeoutError:
                return
            try:
                said = described(frame)
            except Exception:  # noqa: BLE001, S112 - a frame that scapy cannot take apart says nothing of any peer
                continue
            _tell(said)


def _tell(said: dict[str, Any]) -> None:
    line = json.dumps(said, separators=(",", ":")).encode() + b"\n"
    while line:
        line = line[os.write(_STDOUT, line) :]


if __name__ == "__main__":
    main()
