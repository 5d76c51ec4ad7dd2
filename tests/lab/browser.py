"""Debian's Chromium without a screen, driven by its own DevTools protocol: to look at pages as people do.

https://chromedevtools.github.io/devtools-protocol/, as much of it as is needed here.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

PATIENCE_SECONDS = 60.0
_KEYS = {"Tab": 9, "Enter": 13, "Space": 32}


class Browser:
    """One tab. `complaints` are what it logged: errors of scripts, and what the page's policy forbade."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.complaints: list[str] = []

    async def command(self, method: str, **parameters: object) -> dict[str, Any]:
        """One command of the protocol; what it returns."""
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            answer = await asyncio.wait_for(self._socket.receive_json(), PATIENCE_SECONDS)
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer}"
                return dict(answer["result"])
            self._note(answer)

    def _note(self, event: dict[str, Any]) -> None:
        match event.get("method"):
            case "Runtime.exceptionThrown":
                self.complaints.append(str(event["params"]["exceptionDetails"]))
            case "Log.entryAdded" if event["params"]["entry"]["level"] in {"error", "warning"}:
                self.complaints.append(event["params"]["entry"]["text"])

    async def open(self, url: str, *, width: int, height: int, dark: bool = False) -> None:
        """Go to a page, in a window of that size."""
        for domain in ("Page", "Runtime", "Log"):
            await self.command(f"{domain}.enable")
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.command("Emulation.setEmulatedMedia", features=[scheme])
        await self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        await self.command("Page.navigate", url=url)

    async def evaluate(self, script: str) -> Any:
        """What an expression in the page comes to."""
        answer = await self.command("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, what: str, script: str) -> Any:
        """Wait until an expression comes to something true, and return that."""
        deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while not (seen := await self.evaluate(script)):
            shown = await self.evaluate("document.body?.innerText ?? 'no page yet'")
            assert asyncio.get_running_loop().time() < deadline, f"waited for {what}; {self.complaints}; {shown}"
            await asyncio.sleep(0.05)
        return seen

    async def press(self, key: str) -> None:
        """Press a key: Tab, Enter, Space, or one character."""
        code = _KEYS.get(key, ord(key[0].upper()))
        text = {"Enter": "\r", "Space": " ", "Tab": ""}.get(key, key)
        for kind in ("keyDown", "keyUp"):
            await self.command(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                windowsVirtualKeyCode=code,
                text=text * (kind == "keyDown"),
            )

    async def screenshot(self) -> bytes:
        """A picture of the whole page, as PNG."""
        answer = await self.command("Page.captureScreenshot", captureBeyondViewport=True)
        return base64.b64decode(answer["data"])


@contextlib.asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """A browser for as long as the context lasts."""
    folder = Path(tempfile.mkdtemp(prefix="dcedge-browser-"))
    process = await asyncio.create_subprocess_exec(
        *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
        *("--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        port = await _port(folder / "DevToolsActivePort")
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                tab = next(one for one in await answer.json() if one["type"] == "page")
            async with session.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                yield Browser(socket)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        shutil.rmtree(folder, ignore_errors=True)


async def _port(file: Path) -> str:
    """The port that the browser chose, as soon as it has written it down."""

    def written() -> str:
        return file.read_text().partition("\n")[0] if file.exists() else ""

    for _ in range(round(PATIENCE_SECONDS / 0.1)):
        if port := written():
            return port
        await asyncio.sleep(0.1)
    raise AssertionError("Chromium did not come up")
