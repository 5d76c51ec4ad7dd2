"""Waits, by what the daemon's status tells, until traffic has left virtual interfaces."""

from __future__ import annotations

import time
from collections.abc import Mapping

from dcedge.api.control.client import ControlClient
from dcedge.units import format_rate


def wait_for_silence(client: ControlClient, quiet_bps: Mapping[str, float], seconds: float) -> dict[str, str]:
    """Wait until virtual interfaces carry no more than they need themselves; what the others carry at the end."""
    deadline = time.monotonic() + seconds
    quiet_before = False
    while True:
        # A rate is that of the last second or so: the first one may be of the time before.
        time.sleep(1.0)
        used = {vi["name"]: vi["used"] for vi in client.status()["virtual_interfaces"] if vi["name"] in quiet_bps}
        busy = {
            name: f"{format_rate(rates['receive_bps'])} in, {format_rate(rates['transmit_bps'])} out"
            for name, rates in used.items()
            if rates is not None and max(rates["receive_bps"], rates["transmit_bps"]) > quiet_bps[name]
        }
        if (not busy and quiet_before) or time.monotonic() > deadline:
            return busy
        quiet_before = not busy
