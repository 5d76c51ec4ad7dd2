"""Where things are: the paths and addresses that every verb takes, from the command line or DCEDGE_ variables."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """One installation's places; a lab has its own."""

    order: Path = Path("/etc/dcedge/order.yaml")
    credentials: Path = Path("/etc/dcedge/credentials")
    socket: Path = Path("/run/dcedge/control.sock")
    state_dir: Path = Path("/var/lib/dcedge")
    listen: str | None = None  # None: as the order's agent.listen says
    frr_pathspace: str | None = None

    def arguments(self) -> list[str]:
        """The same as command-line options."""
        return [
            word
            for field in fields(self)
            if (value := getattr(self, field.name)) is not None
            for word in ("--" + field.name.replace("_", "-"), str(value))
        ]
