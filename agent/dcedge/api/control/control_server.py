"""The daemon's end of the control socket: whoever may connect may read; only root may change.

The file's mode (0660, group dcedge) decides who may connect, the kernel's word on who has connected (SO_PEERCRED,
unix(7)) who may change, and that readers, however many connections they hold, never keep root out.
"""

from __future__ import annotations

import asyncio
import contextlib
import grp
import json
import os
import socket
import stat
import struct
from asyncio.trsock import TransportSocket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from dcedge.api.control.client import GROUP, LONGEST_SECONDS, MAX_BODY
from dcedge.api.detail import detail_json
from dcedge.api.http.chunks import json_chunks, paced
from dcedge.api.http.server import HttpRequest, Limits, Response, Routes, Server, TooLargeError, UserOf
from dcedge.api.overview import Wanted, overview_json
from dcedge.api.status import status_chunks, transition_json
from dcedge.errors import BusyError, DcedgeError
from dcedge.logging.masking import hide
from dcedge.monitor.health.tracker import Transition
from dcedge.monitor.last_hour import Hour
from dcedge.monitor.snapshot import Snapshot
from dcedge.order.findings import OrderInvalidError

_MOST_CLIENTS, _OF_ONE_USER, _FOR_ROOT = 64, 16, 8
_PATIENCE = 10.0
_CREDENTIALS = struct.Struct("=iII")  # struct ucred
_JSON = {"Content-Type": "application/json; charset=utf-8"}

Reply = Mapping[str, object]  # the backend says which of `replies.py` it is


Command = Callable[[str, Mapping[str, str]], Awaitable[Reply]]


class Backend(Protocol):
    """What the control socket serves; the daemon implements it. What raises DcedgeError reaches the client as such."""

    def snapshot(self) -> Snapshot:
        """All there is to see now."""

    def order_text(self) -> str:
        """The contents of the order in force."""

    def history(self, name: str) -> tuple[Transition, ...]:
        """The verdict's transitions of one virtual interface in the last day; none of an unknown one."""

    def hour(self) -> Hour:
        """The last hour of every virtual interface."""

    def urgent(self) -> bool:
        """Whether a pass is due or under way, which long answers must not slow down."""

    def commands(self) -> Mapping[str, Command]:
        """The changes on offer, by verb; each takes the request's body and its parameters."""


class ControlServer:
    """Serves one backend on one socket file; `user_of` says whose a connection is."""

    def __init__(self, backend: Backend, path: Path, user_of: UserOf | None = None) -> None:
        self._backend = backend
        self._path = path
        routes = Routes(
            {
                "GET /v1/status": self._status,
                "GET /v1/history/([^/]+)": self._history,
                "GET /v1/order": self._order,
                "GET /v1/overview": self._overview,
                "GET /v1/interfaces/([^/]+)": self._interface,
                "POST /v1/([^/]+)": self._command,
            }
        )
        limits = Limits(_MOST_CLIENTS, _PATIENCE, LONGEST_SECONDS, _OF_ONE_USER, _FOR_ROOT)
        self._clients = Server(routes.answer, limits, user_of=user_of or _user_of)
        self._listening: asyncio.Server | None = None
        self._inode: int | None = None

    async def start(self) -> None:
        """Listen. Raises BusyError where another daemon answers here, DcedgeError where it cannot be done."""
        listening = _listen(self._path)
        self._inode = self._path.stat().st_ino
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_unix_server(self._clients.new_client, sock=listening)

    async def close(self) -> None:
        """Stop listening; the socket file goes, unless it is another's by now."""
        if self._listening is not None:
            self._listening.close()
            with contextlib.suppress(FileNotFoundError):
                if self._path.stat().st_ino == self._inode:
                    self._path.unlink()
        await self._clients.close()

    async def _status(self, _: HttpRequest) -> Response:
        return self._json(status_chunks(self._backend.snapshot()))

    async def _order(self, _: HttpRequest) -> Response:
        return self._json(json_chunks({"order": self._backend.order_text()}))

    async def _history(self, _: HttpRequest, name: str) -> Response:
        transitions = [transition_json(one) for one in self._backend.history(name)]
        return self._json(json_chunks({"transitions": transitions}))

    async def _overview(self, request: HttpRequest) -> Response:
        overview = await asyncio.to_thread(
            overview_json, self._backend.snapshot(), self._backend.hour(), Wanted.from_query(request.query)
        )
        return self._json(json_chunks(overview))

    async def _interface(self, _: HttpRequest, name: str) -> Response:
        detail = detail_json(self._backend.snapshot(), name, self._backend.hour(), self._backend.history(name))
        if detail is None:
            return _error(404, "unknown", f"no virtual interface {name!r}")
        return self._json(json_chunks(detail))

    async def _command(self, request: HttpRequest, name: str) -> Response:
        if request.user != 0:
            return _error(403, "forbidden", "permission denied: only root may change the router")
        verb = self._backend.commands().get(name)
        if verb is None:
            return _error(404, "unknown", f"unknown verb {name!r}")
        try:
            body = await request.read(MAX_BODY)
            reply = await verb(body.decode(), request.query)
        except TooLargeError:
            return _error(413, "failed", f"the request is too large: at most {MAX_BODY} bytes")
        except OrderInvalidError as error:
            findings = [finding.as_dict() for finding in error.findings]
            return _error(422, "invalid", str(error), findings=findings)
        except BusyError as error:
            return _error(409, "busy", str(error))
        except DcedgeError as error:
            return _error(500, "failed", str(error))
        except (ValueError, TypeError, KeyError) as error:
            return _error(400, "failed", f"invalid request ({type(error).__name__})")
        return self._json(json_chunks(reply))

    def _json(self, chunks: Iterator[bytes]) -> Response:
        return Response(body=paced(chunks, self._backend.urgent), headers=_JSON)


@contextlib.asynccontextmanager
async def start_control(path: Path, backend: Backend) -> AsyncIterator[ControlServer]:
    """A control socket for as long as the context lasts; raises what `ControlServer.start` does."""
    server = ControlServer(backend, path)
    await server.start()
    try:
        yield server
    finally:
        await server.close()


def _error(status: int, error: str, text: str, **more: object) -> Response:
    body = json.dumps({"error": error, "text": hide(text), **more}).encode()
    return Response(status, body, _JSON, close=status in {403, 404, 413})  # a body may follow that nobody will read


def _user_of(connected: TransportSocket) -> int:
    _, user, _ = _CREDENTIALS.unpack(connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return int(user)


def _listen(path: Path) -> socket.socket:
    """A listening socket, never open wider than it will be. A stale file is replaced, a live one respected."""
    _refuse_what_is_there(path)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            listening.bind(str(fresh))
        finally:
            os.umask(before)
        with contextlib.suppress(KeyError, PermissionError):
            os.chown(fresh, -1, grp.getgrnam(GROUP).gr_gid)
        fresh.chmod(0o660)
        listening.listen(_MOST_CLIENTS)
        fresh.rename(path)
    except OSError as error:
        listening.close()
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise DcedgeError(f"cannot listen on {path}: {error.strerror or error}") from error
    return listening


def _refuse_what_is_there(path: Path) -> None:
    """Raise BusyError where a daemon answers, DcedgeError where something else stands or nobody may look."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise DcedgeError(f"cannot listen on {path}: {error.strerror or error}") from error
    if not stat.S_ISSOCK(mode):
        raise DcedgeError(f"{path} exists and is not a socket")
    if _answers(path):
        raise BusyError(f"another daemon answers on {path}")


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
        trial.settimeout(2.0)
        try:
            trial.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:  # too busy to accept is alive too
            return True
    return True
