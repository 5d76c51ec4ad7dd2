"""The control socket: HTTP over a UNIX socket. Whoever may connect may read; only root may change.

The file's mode (0660, group dcedge) decides who may connect, the kernel's word on the peer (SO_PEERCRED, unix(7))
who may change.
"""

from __future__ import annotations

import asyncio
import contextlib
import grp
import http.client
import json
import os
import socket
import stat
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast
from urllib.parse import quote, urlencode

from aiohttp import web

from dcedge.errors import BusyError, DcedgeError, NotRunningError, OrderInvalidError
from dcedge.expose.chunks import json_chunks, send_chunks
from dcedge.expose.detail import Detail, detail_json
from dcedge.expose.document import Status, TransitionDocument, status_chunks, transition_json
from dcedge.expose.guard import LOG, ConnectionGuard
from dcedge.expose.hour import Hour
from dcedge.expose.overview import Overview, Wanted, overview_json
from dcedge.expose.snapshot import Snapshot
from dcedge.health.tracker import Transition
from dcedge.order.finding import Finding

GROUP = "dcedge"
MAX_BODY = 8 * 1024 * 1024  # as large as an order may be
_MOST_CLIENTS = 64
_PATIENCE = 10.0
_LONGEST = 600.0  # an apply of thousands of virtual interfaces on a slow router
_CREDENTIALS = struct.Struct("=iII")  # struct ucred

Reply = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end of the socket."""

    pid: int
    uid: int
    gid: int


Command = Callable[[str, Mapping[str, str]], Awaitable[Reply]]


class Backend(Protocol):
    """What the control socket serves; the daemon implements it. What raises DcedgeError reaches the client as such."""

    def snapshot(self) -> Snapshot:
        """All there is to see now."""

    def history(self, name: str) -> tuple[Transition, ...]:
        """The verdict's transitions of one virtual interface in the last day; none of an unknown one."""

    def hour(self) -> Hour:
        """The last hour of every virtual interface."""

    def urgent(self) -> bool:
        """Whether a pass is due or under way, which long answers must not slow down."""

    def commands(self) -> Mapping[str, Command]:
        """The changes on offer, by verb; each takes the request's body and its parameters."""


class ControlServer:
    """Serves one backend on one socket file."""

    def __init__(self, backend: Backend, path: Path) -> None:
        self._backend = backend
        self._path = path
        self._guard = ConnectionGuard(_MOST_CLIENTS, _PATIENCE, _LONGEST)
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._inode: int | None = None

    async def start(self) -> None:
        """Listen. Raises BusyError where another daemon answers here, DcedgeError where it cannot be done."""
        application = web.Application(middlewares=[self._guard.middleware()], client_max_size=MAX_BODY + 1024)
        application.router.add_get("/v1/status", self._status)
        application.router.add_get("/v1/history/{name}", self._history)
        application.router.add_get("/v1/overview", self._overview)
        application.router.add_get("/v1/interfaces/{name}", self._interface)
        application.router.add_post("/v1/{verb}", self._command)
        self._runner = web.AppRunner(application, access_log=None, logger=LOG, handle_signals=False, lingering_time=0.0)
        await self._runner.setup()
        make = self._runner.server
        if make is None:
            raise DcedgeError("the control socket could not be set up")
        listening = _listen(self._path)
        self._inode = self._path.stat().st_ino
        self._server = await asyncio.get_running_loop().create_unix_server(self._guard.wrap(make), sock=listening)

    async def close(self) -> None:
        """Stop listening; the socket file goes, unless it is another's by now."""
        if self._server is not None:
            self._server.close()
            with contextlib.suppress(FileNotFoundError):
                if self._path.stat().st_ino == self._inode:
                    self._path.unlink()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _status(self, request: web.Request) -> web.StreamResponse:
        chunks = status_chunks(self._backend.snapshot())
        return await send_chunks(_json_response(), request, chunks, self._backend.urgent)

    async def _history(self, request: web.Request) -> web.StreamResponse:
        transitions = [transition_json(one) for one in self._backend.history(request.match_info["name"])]
        return await send_chunks(
            _json_response(), request, json_chunks({"transitions": transitions}), self._backend.urgent
        )

    async def _overview(self, request: web.Request) -> web.StreamResponse:
        overview = await asyncio.to_thread(
            overview_json, self._backend.snapshot(), self._backend.hour(), Wanted.from_query(request.query)
        )
        return await send_chunks(_json_response(), request, json_chunks(overview), self._backend.urgent)

    async def _interface(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        detail = detail_json(self._backend.snapshot(), name, self._backend.hour(), self._backend.history(name))
        if detail is None:
            return _error(404, "unknown", f"no virtual interface {name!r}")
        return await send_chunks(_json_response(), request, json_chunks(detail), self._backend.urgent)

    async def _command(self, request: web.Request) -> web.StreamResponse:
        peer = _peer_of(request)
        if peer is None or peer.uid != 0:
            return _error(403, "forbidden", "only root may change anything here")
        verb = self._backend.commands().get(request.match_info["verb"])
        if verb is None:
            return _error(404, "unknown", f"this daemon knows no verb {request.match_info['verb']!r}")
        try:
            reply = await verb(await request.text(), request.query)
        except OrderInvalidError as error:
            findings = [finding.as_dict() for finding in error.findings]
            return _error(422, "invalid", str(error), findings=findings)
        except BusyError as error:
            return _error(409, "busy", str(error))
        except DcedgeError as error:
            return _error(500, "failed", str(error))
        except UnicodeDecodeError:
            return _error(400, "failed", "the request's text is not UTF-8")
        return await send_chunks(_json_response(), request, json_chunks(reply), self._backend.urgent)


@contextlib.asynccontextmanager
async def start_control(path: Path, backend: Backend) -> AsyncIterator[ControlServer]:
    """A control socket for as long as the context lasts; raises what `ControlServer.start` does."""
    server = ControlServer(backend, path)
    await server.start()
    try:
        yield server
    finally:
        await server.close()


def _json_response() -> web.StreamResponse:
    return web.StreamResponse(headers={"Content-Type": "application/json; charset=utf-8"})


def _error(status: int, kind: str, text: str, **more: object) -> web.Response:
    response = web.json_response({"error": kind, "text": text, **more}, status=status)
    if status in {403, 404}:
        response.force_close()  # a body may follow that nobody will read
    return response


def _peer_of(request: web.Request) -> Peer | None:
    connected = request.get_extra_info("socket")
    if connected is None:
        return None
    raw = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return Peer(*_CREDENTIALS.unpack(raw))


def _listen(path: Path) -> socket.socket:
    """A listening socket, never open wider than it will be. A stale file is replaced, a live one respected."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise DcedgeError(f"{path} exists and is not a socket")
        if _answers(path):
            raise BusyError(f"another daemon answers on {path}")
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
        fresh.unlink(missing_ok=True)
        raise DcedgeError(f"cannot listen on {path}: {error.strerror or error}") from error
    return listening


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


class ControlClient:
    """The command line's end of the control socket; `timeout` in seconds.

    Every call raises NotRunningError where no daemon answers, OrderInvalidError and BusyError as the daemon does,
    and DcedgeError for everything else.
    """

    def __init__(self, path: Path, timeout: float = _LONGEST) -> None:
        self._path = path
        self._timeout = timeout

    def status(self) -> Status:
        """What the daemon sees."""
        return cast("Status", self._ask("GET", "status"))

    def history(self, name: str) -> list[TransitionDocument]:
        """The verdict's transitions of one virtual interface in the last day, oldest first."""
        return cast("list[TransitionDocument]", self._ask("GET", f"history/{name}")["transitions"])

    def overview(self, wanted: Wanted) -> Overview:
        """Sums over everything, and the rows that are wanted."""
        parameters = {"text": wanted.text, "verdict": wanted.verdict, "most": wanted.most}
        return cast("Overview", self._ask("GET", f"overview?{urlencode(parameters)}"))

    def detail(self, name: str) -> Detail:
        """All about one virtual interface; raises DcedgeError where there is none of this name."""
        return cast("Detail", self._ask("GET", f"interfaces/{quote(name, safe='')}"))

    def command(self, verb: str, body: str = "", **parameters: str) -> dict[str, Any]:
        """Have a change made; returns the daemon's answer."""
        query = "?" + urlencode(parameters) if parameters else ""
        return self._ask("POST", verb + query, body.encode())

    def _ask(self, method: str, verb: str, body: bytes | None = None) -> dict[str, Any]:
        connection = _UnixConnection(self._path, self._timeout)
        try:
            # The daemon may refuse before it has read all; its answer says why.
            with contextlib.suppress(BrokenPipeError):
                connection.request(method, f"/v1/{verb}", body)
            response = connection.getresponse()
            content = response.read()
        except (ConnectionRefusedError, FileNotFoundError) as error:
            raise NotRunningError(f"no daemon answers on {self._path}") from error
        except PermissionError as error:
            raise DcedgeError(f"{self._path}: not permitted (root, or a member of group {GROUP})") from error
        except TimeoutError as error:
            raise DcedgeError(f"the daemon did not answer within {self._timeout:.0f} s") from error
        except (OSError, http.client.HTTPException) as error:
            raise DcedgeError(f"the daemon broke off: {error}") from error
        finally:
            connection.close()
        return _understood(response.status, content)


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


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a UNIX socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("dcedge", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        try:
            self.sock.connect(str(self._path))
        except (ConnectionRefusedError, FileNotFoundError, PermissionError, TimeoutError):
            raise
        except OSError as error:  # too long a path, or one through a file
            raise DcedgeError(f"{self._path}: {error.strerror or error}") from error
