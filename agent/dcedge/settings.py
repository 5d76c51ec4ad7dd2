"""Where things are: the paths and addresses that every verb takes, from the command line or DCEDGE_ variables."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path

from dcedge.errors import SettingsError

LOG_LEVEL_VARIABLE = "DCEDGE_LOG_LEVEL"


class LogLevel(StrEnum):
    """From what severity on the daemon's log tells."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    @classmethod
    def from_environment(cls) -> LogLevel:
        """As DCEDGE_LOG_LEVEL says. Raises SettingsError."""
        said = os.environ.get(LOG_LEVEL_VARIABLE) or cls.INFO
        try:
            return cls(said.lower())
        except ValueError:
            raise SettingsError(f"{LOG_LEVEL_VARIABLE}: {said!r} is none of {', '.join(cls)}") from None


@dataclass(frozen=True, slots=True)
class Settings:
    """One installation's places; a lab has its own."""

    order: Path = Path("/etc/dcedge/order.yaml")
    credentials: Path = Path("/etc/dcedge/credentials")
    socket: Path = Path("/run/dcedge/control.sock")
    state_dir: Path = Path("/var/lib/dcedge")
    listen: str | None = None  # None: as the order's agent.listen says
    frr_pathspace: str | None = None

    @classmethod
    def from_environment(cls) -> Settings:
        """As the variables say; what they do not say is as installed. An empty variable says nothing."""
        said = {name: value for name, variable in VARIABLES.items() if (value := os.environ.get(variable))}
        return cls(**{name: value if name in _WORDS else Path(value) for name, value in said.items()})  # type: ignore[arg-type]

    def arguments(self) -> list[str]:
        """The same as command-line options."""
        return [
            word
            for field in fields(self)
            if (value := getattr(self, field.name)) is not None
            for word in ("--" + field.name.replace("_", "-"), str(value))
        ]


VARIABLES = {field.name: f"DCEDGE_{field.name.upper()}" for field in fields(Settings)}
_WORDS = frozenset({"listen", "frr_pathspace"})  # which are no paths
