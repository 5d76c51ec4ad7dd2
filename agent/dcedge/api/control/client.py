"""The control socket: HTTP over a UNIX socket. This is the command line's end of it, which asks one thing at a time."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, urlencode

import h11

from dcedge.api.control.replies import (
    AppliedReply,
    ConfirmedReply,
    CredentialsReply,
    DrainedReply,
    HistoryReply,
    OrderReply,
)
from dcedge.api.detail import Detail
from dcedge.api.overview import Overview, Wanted
from dcedge.api.status import Status, TransitionDocument
from dcedge.errors import BusyError, DcedgeError, NotRunningError
from dcedge.order.credentials import Secret, as_kept
from dcedge.order.findings import Finding, OrderInvalidError
from dcedge.order.model import Credential

GROUP = "dcedge"
MAX_BODY = 8 * 1024 * 1024  # as large as an order may be
LONGEST_SECONDS = 600.0  # an apply of thousands of virtual interfaces on a slow router
_READ_BYTES = 1 << 16


class ControlClient:
    """The command line's end of the control socket; `timeout` in seconds.

    Every call raises NotRunningError where no daemon answers, OrderInvalidError and BusyError as the daemon does,
    and DcedgeError for everything else.
    """

    def __init__(self, path: Path, timeout: float = LONGEST_SECONDS) -> None:
        self._path = path
        self._timeout = timeout

    def status(self) -> Status:
        """What the daemon sees."""
        return cast("Status", self._ask("GET", "status"))

    def order(self) -> str:
        """The contents of the order in force."""
        return cast("OrderReply", self._ask("GET", "order"))["order"]

    def history(self, name: str) -> list[TransitionDocument]:
        """The verdict's transitions of one virtual interface in the last day, oldest first."""
        return cast("HistoryReply", self._ask("GET", f"history/{quote(name, safe='')}"))["transitions"]

    def overview(self, wanted: Wanted) -> Overview:
        """Sums over everything, and the rows that are wanted."""
        parameters = {"text": wanted.text, "verdict": wanted.verdict, "most": wanted.most}
        return cast("Overview", self._ask("GET", f"overview?{urlencode(parameters)}"))

    def detail(self, name: str) -> Detail:
        """All about one virtual interface; raises DcedgeError where there is none of this name."""
        return cast("Detail", self._ask("GET", f"interfaces/{quote(name, safe='')}"))

    def apply(self, text: str, confirm_seconds: float | None = None, allow_removal: int | None = None) -> AppliedReply:
        """Put an order's contents in force, for so long unless it is confirmed."""
        parameters = {"confirm": confirm_seconds, "allow_removal": allow_removal}
        given = {name: str(value) for name, value in parameters.items() if value is not None}
        return cast("AppliedReply", self.command("apply", text, **given))

    def hand_over(self, secrets: Mapping[Credential, Secret]) -> CredentialsReply:
        """Passwords for the order that comes next."""
        return cast("CredentialsReply", self.command("credentials", json.dumps(as_kept(secrets))))

    def reload(self) -> AppliedReply:
        """Have the order file read again and put in force."""
        return cast("AppliedReply", self.command("reload"))

    def confirm(self) -> ConfirmedReply:
        """Keep the order that waits."""
        return cast("ConfirmedReply", self.command("confirm"))

    def rollback(self) -> AppliedReply:
        """Go back to the order before."""
        return cast("AppliedReply", self.command("rollback"))

    def drain(self, names: Sequence[str], *, all_but: bool = False, force: bool = False) -> DrainedReply:
        """Move traffic away from virtual interfaces; `force`: from the last path of a gateway, too."""
        parameters = {"force": "yes"} if force else {}
        return cast("DrainedReply", self.command("drain", _wish(names, all_but), **parameters))

    def undrain(self, names: Sequence[str], *, all_but: bool = False) -> DrainedReply:
        """Let virtual interfaces carry traffic again."""
        return cast("DrainedReply", self.command("undrain", _wish(names, all_but)))

    def command(self, verb: str, body: str = "", **parameters: str) -> dict[str, Any]:
        """Have a change made, as the socket has it; returns the daemon's answer."""
        query = "?" + urlencode(parameters) if parameters else ""
        return self._ask("POST", verb + query, body.encode())

    def _ask(self, method: str, verb: str, body: bytes = b"") -> dict[str, Any]:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connected:
                _connect(connected, self._path, self._timeout)
                status, content = _exchange(connected, method, f"/v1/{verb}", body)
        except TimeoutError as error:
            raise DcedgeError(f"the daemon did not answer within {self._timeout:.0f} s") from error
        except (OSError, h11.RemoteProtocolError) as error:
            raise DcedgeError(f"lost the connection to the daemon: {error}") from error
        return _understood(status, content)


def _connect(connecting: socket.socket, path: Path, timeout: float) -> None:
    # Where many are waiting to be let in, the kernel has us wait in line; without blocking it would turn us away.
    connecting.settimeout(None)
    connecting.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(timeout))
    try:
        connecting.connect(str(path))
        connecting.settimeout(timeout)
    except (ConnectionRefusedError, FileNotFoundError) as error:
        raise NotRunningError(f"no daemon answers on {path}") from error
    except PermissionError as error:
        raise DcedgeError(f"{path}: permission denied (only root and members of group {GROUP})") from error
    except BlockingIOError as error:
        raise TimeoutError from error
    except OSError as error:  # too long a path, or one through a file
        raise DcedgeError(f"{path}: {error.strerror or error}") from error


def _wish(names: Sequence[str], all_but: bool) -> str:
    return json.dumps({"names": list(names), "all_but": all_but})


def _timeval(seconds: float) -> bytes:
    whole, rest = divmod(seconds, 1)
    return struct.pack("@ll", int(whole), int(rest * 1_000_000))


def _exchange(connected: socket.socket, method: str, target: str, body: bytes) -> tuple[int, bytes]:
    """One request; its answer's status and body."""
    http = h11.Connection(h11.CLIENT)
    request = h11.Request(
        method=method,
        target=target,
        headers=[("Host", "dcedge"), ("Content-Length", str(len(body))), ("Connection", "close")],
    )
    events = (request, h11.Data(body), h11.EndOfMessage())
    # The daemon may refuse before it has read all; its answer says why.
    with contextlib.suppress(BrokenPipeError):
        connected.sendall(b"".join(http.send(event) or b"" for event in events))
    status, content = 0, []
    while not isinstance(event := http.next_event(), h11.EndOfMessage):
        if event is h11.NEED_DATA:
            http.receive_data(connected.recv(_READ_BYTES))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            content.append(bytes(event.data))
    return status, b"".join(content)


def _understood(status: int, content: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(content)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise DcedgeError(f"the daemon's answer ({status}) cannot be read")
    if status == 200:
        return answer
    if answer.get("error") == "invalid":
        raise OrderInvalidError([Finding(**finding) for finding in answer["findings"]])
    raise (BusyError if answer.get("error") == "busy" else DcedgeError)(str(answer.get("text", "failed")))
