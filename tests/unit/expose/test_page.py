"""The status page in a real browser: what people see, reach with the keyboard, and hear from a screen reader."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from dcedge.api.http.endpoint import HttpServer
from dcedge.monitor.health.verdict import Verdict
from tests.lab.browser import Browser, browser
from tests.unit.expose.scene import down, snapshot
from tests.unit.expose.test_http import Router
from tests.unit.expose.town import Town

pytestmark = pytest.mark.skipif(shutil.which("chromium") is None, reason="no browser (Debian's chromium)")

Scene = Callable[[Browser, str], Awaitable[None]]
NAMES = "[...document.querySelectorAll('#list h3 button')].map(b => b.textContent)"
LISTED = "document.querySelectorAll('#list li.vi').length"
FOCUSED = "document.activeElement.textContent"
PICTURES = os.environ.get("PICTURES")  # a folder for screenshots, for whoever wants to look


def look(scene: Scene, source: Town | Router) -> None:
    """Serve a router's page and have a browser look at it; fails where the browser has anything to complain of."""

    async def run() -> None:
        server = HttpServer(source)
        address, port = await server.start("127.0.0.1:0")
        try:
            async with browser() as tab:
                await scene(tab, f"http://{address}:{port}/")
                assert tab.complaints == []
        finally:
            await server.close()

    asyncio.run(run())


async def picture(tab: Browser, name: str) -> None:
    if PICTURES:
        picture = await tab.screenshot()
        await asyncio.to_thread(Path(PICTURES, f"{name}.png").write_bytes, picture)


def test_the_worst_is_first_and_a_key_opens_all_about_it() -> None:
    async def scene(tab: Browser, url: str) -> None:
        await tab.open(url, width=1280, height=900)
        await tab.until("the list", LISTED)
        names = await tab.evaluate(NAMES)
        assert (names[:3], names[-1]) == (["dev-1", "backup-2", "office-7"], "dev-5"), (
            "down, degraded, drained; planned"
        )
        assert await tab.evaluate("document.title") == "(1 down) edge-1 · dcedge"
        assert await tab.evaluate("document.getElementById('said').textContent") == "1 down, 1 degraded, 1 drained"
        await picture(tab, "desktop")

        for _ in range(20):
            await tab.press("Tab")
            if await tab.evaluate(FOCUSED) == "dev-1":
                break
        assert await tab.evaluate(FOCUSED) == "dev-1"
        await tab.press("Enter")
        text = await tab.until("its details", "document.querySelector('.more')?.innerText")
        for part in ("dcedge explain dev-1", "the cloud does not answer on TCP 179", "Changes in the last day"):
            assert part in text
        assert await tab.evaluate("document.activeElement.getAttribute('aria-expanded')") == "true"
        await picture(tab, "desktop-open")

        # Still there, focus too, after it has been fetched anew.
        await tab.evaluate("refresh()")
        assert await tab.evaluate(FOCUSED) == "dev-1"
        await tab.press("Enter")
        await tab.until("it to close", "!document.querySelector('.more')")

    look(scene, Town())


def test_it_is_narrowed_by_verdict_and_by_typing() -> None:
    async def scene(tab: Browser, url: str) -> None:
        await tab.open(url, width=1280, height=900)
        await tab.until("the list", LISTED)
        await tab.evaluate("document.querySelector('[data-verdict=degraded]').click()")
        await tab.until("the degraded one alone", f"{LISTED} == 1")
        assert await tab.evaluate(NAMES) == ["backup-2"]
        assert (
            await tab.evaluate("document.querySelector('[data-verdict=degraded]').getAttribute('aria-pressed')")
            == "true"
        )
        await tab.evaluate("document.querySelector('[data-verdict=\"\"]').click()")
        await tab.evaluate("document.getElementById('search').focus()")
        for key in "office":
            await tab.press(key)
        await tab.until("the office's", f"{NAMES}.every(name => name.startsWith('office')) && {LISTED} == 3")

    look(scene, Town())


def test_a_phone_has_it_all_in_its_width_by_day_and_by_night() -> None:
    async def scene(tab: Browser, url: str) -> None:
        for dark in (False, True):
            await tab.open(f"{url}#backup-2", width=390, height=844, dark=dark)
            await tab.until("its details", "!!document.querySelector('.more')")
            width = await tab.evaluate("document.documentElement.scrollWidth")
            assert width <= 390, "it scrolls sideways"
            await picture(tab, "phone-dark" if dark else "phone")
            await tab.open("about:blank", width=390, height=844)

    look(scene, Town())


def test_plots_and_buttons_have_names_for_who_cannot_see_them() -> None:
    async def scene(tab: Browser, url: str) -> None:
        await tab.open(url, width=1280, height=900)
        await tab.until("the list", LISTED)
        labels = await tab.evaluate("[...document.querySelectorAll('svg')].map(s => s.getAttribute('aria-label'))")
        assert any("Round trip, last hour: between 1." in label for label in labels), labels
        assert all(labels)
        tree = (await tab.command("Accessibility.getFullAXTree"))["nodes"]
        unnamed = [
            node
            for node in tree
            if node.get("role", {}).get("value") in {"button", "searchbox", "image", "region"}
            and not node["ignored"]
            and not node.get("name", {}).get("value")
        ]
        assert unnamed == []

    look(scene, Town())


def test_thousands_are_a_page_and_a_count() -> None:
    async def scene(tab: Browser, url: str) -> None:
        await tab.open(url, width=1280, height=900)
        await tab.until("the list", f"{LISTED} == 100")
        assert await tab.evaluate("document.getElementById('rest').textContent") == "and 400 more: narrow it down above"

    look(scene, Town(500))


def test_a_peers_text_is_no_markup() -> None:
    hostile = down()._replace(verdict=Verdict("down", "<img src=x onerror=document.title='owned'>"))

    async def scene(tab: Browser, url: str) -> None:
        await tab.open(f"{url}#prod-b", width=1280, height=900)
        text = await tab.until("its details", "document.querySelector('.more')?.innerText")
        assert "<img src=x" in text
        assert await tab.evaluate("document.querySelectorAll('img').length") == 0

    look(scene, Router(snapshot(hostile)))


def test_a_router_that_is_gone_is_said_and_its_last_words_stay() -> None:
    async def scene(tab: Browser, url: str) -> None:
        await tab.open(url, width=1280, height=900)
        await tab.until("the list", LISTED)
        await tab.evaluate("fetch = () => Promise.reject(new Error('gone'))")
        await tab.evaluate("refresh()")
        await tab.until("the word", "document.getElementById('live').textContent == 'the router does not answer'")
        assert await tab.evaluate(LISTED)

    look(scene, Town())
