"""The speed that a port's two ends agreed on, as its driver would tell it, for ports that have no driver.

A file in the folder that `LAB_SPEEDS` names, called as a port is, holds that port's speed in Mbit/s.
"""

from __future__ import annotations

import os
from pathlib import Path

from dcedge.kernel.port.ethtool import EthtoolSocket, LinkMode
from dcedge.kernel.port.speeds import PortSpeeds


def put_speed(folder: Path, port: str, mbps: int) -> None:
    """Have a port run at a speed."""
    folder.mkdir(exist_ok=True)
    fresh = folder / f".{port}"
    fresh.write_text(str(mbps))
    fresh.replace(folder / port)


def be_told() -> None:
    """Have this process find speeds where `LAB_SPEEDS` says; other ports have what they have."""
    if (where := os.environ.get("LAB_SPEEDS")) is None:
        return
    folder, asked, has_wire = Path(where), EthtoolSocket.link_mode, PortSpeeds.has_wire

    def link_mode(ethtool: EthtoolSocket, port: str) -> LinkMode:
        speed = folder / port
        return LinkMode(int(speed.read_text()), "full") if speed.exists() else asked(ethtool, port)

    def is_told(speeds: PortSpeeds, port: str) -> bool:
        return (folder / port).exists() or has_wire(speeds, port)

    EthtoolSocket.link_mode = link_mode  # type: ignore[method-assign,assignment]
    PortSpeeds.has_wire = is_told  # type: ignore[method-assign,assignment]
