"""HTTP: what it serves, what it refuses, and that no client can sit on it."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from dcedge.api.http import chunks, server
from dcedge.api.http import endpoint as module
from dcedge.api.http.endpoint import HttpServer, parse_listen
from dcedge.api.metrics.exposition import OPENMETRICS, ExpositionFormat, exposition, negotiate
from dcedge.api.metrics.instruments import DaemonMetrics
from dcedge.api.overview import MOST_ROWS
from dcedge.errors import DcedgeError
from dcedge.monitor.health.tracker import Transition
from dcedge.monitor.health.verdict import Verdict
from dcedge.monitor.last_hour import Hour
from dcedge.monitor.snapshot import PassSnapshot, Snapshot
from tests.unit.expose.scene import down, own_metrics, snapshot, up


class Router:
    """A source whose snapshot the test sets."""

    def __init__(self, shown: Snapshot | None = None) -> None:
        self.shown = shown or snapshot(passes=PassSnapshot(finished=time.time()))
        self.pressed = False
        self.asked = 0

    def urgent(self) -> bool:
        self.asked += 1
        return self.pressed

    def snapshot(self) -> Snapshot:
        return self.shown

    def metrics(self) -> DaemonMetrics:
        return own_metrics()

    def hour(self) -> Hour:
        return Hour()

    def history(self, name: str) -> tuple[Transition, ...]:
        return (Transition(5.0, "up", "down", "no carrier"),)


Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def converse(client: Client, request: str) -> tuple[int, dict[str, str], str]:
    """Send a request as it is and read the whole answer; status 0: cut off without one."""
    reader, writer = client
    try:
        writer.write(request.encode())
        await writer.drain()
        raw = await asyncio.wait_for(reader.read(), 20)
    except ConnectionError:
        raw = b""
    finally:
        writer.close()
    if not raw:
        return 0, {}, ""
    head, _, body = raw.decode().partition("\r\n\r\n")
    status, *lines = head.split("\r\n")
    headers = {name.lower(): text for name, _, text in (line.partition(": ") for line in lines)}
    return int(status.split()[1]), headers, body


def serve(scene: Callable[[Callable[[], Awaitable[Client]]], Awaitable[None]], router: Router | None = None) -> None:
    """Run a scene that is given a way to connect."""

    async def run() -> None:
        served = HttpServer(router or Router())
        address, port = await served.start("127.0.0.1:0")

        async def connect() -> Client:
            return await asyncio.open_connection(address, port)

        try:
            await scene(connect)
        finally:
            await served.close()

    asyncio.run(run())


def fetch(
    path: str, router: Router | None = None, method: str = "GET", headers: str = "", version: str = "1.1"
) -> tuple[int, dict[str, str], str]:
    """Ask for a path; version 1.0 has the body come in one piece."""
    answers = []

    async def scene(connect: Callable[[], Awaitable[Client]]) -> None:
        request = f"{method} {path} HTTP/{version}\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n"
        answers.append(await converse(await connect(), request))

    serve(scene, router)
    return answers[0]


def test_metrics_in_the_text_format() -> None:
    status, headers, body = fetch("/metrics")
    assert status == 200
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "dcedge_virtual_interface_up" in body
    assert "# EOF" not in body


def test_metrics_in_openmetrics_for_a_scraper_that_asks_for_it() -> None:
    accept = "Accept: application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1\r\n"
    _, headers, body = fetch("/metrics", headers=accept)
    assert headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert "# EOF" in body


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text;q=0.5,text/plain;q=0.9", False),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=what", False),
    ],
)
def test_content_negotiation(accept: str, openmetrics: bool) -> None:
    assert (negotiate(accept) is OPENMETRICS) is openmetrics
    assert openmetrics or negotiate(accept).content_type.startswith("text/plain")


def test_healthy_while_passes_end() -> None:
    assert fetch("/healthz")[::2][0] == 200


def test_unhealthy_with_a_reason_when_they_do_not() -> None:
    status, _, body = fetch("/healthz", Router(snapshot(passes=PassSnapshot(finished=snapshot().taken - 500))))
    assert status == 503
    assert "the last pass ended 500 s ago" in body
    assert fetch("/healthz", Router(snapshot(passes=PassSnapshot())))[0] == 503


class Page(HTMLParser):
    """Collects what a browser would load or run."""

    def __init__(self) -> None:
        super().__init__()
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            loads = name in {"src", "href", "action"} and not (value or "").startswith("data:")
            if loads or name.startswith("on") or name == "style":
                self.outside.append(f"{tag} {name}={value}")


def test_the_page_loads_nothing_and_runs_nothing_but_its_own() -> None:
    status, headers, body = fetch("/")
    page = Page()
    page.feed(body)
    assert status == 200
    assert page.outside == []
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    script = body[body.index("<script>") + len("<script>") : body.index("</script>")]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy


def overview(query: str = "", router: Router | None = None) -> dict[str, Any]:
    status, headers, body = fetch(f"/overview.json?{query}", router, version="1.0")
    assert status == 200
    assert headers["content-type"].startswith("application/json")
    return dict(json.loads(body))


def test_json_is_packed_for_who_accepts_that() -> None:
    async def scene(connect: Callable[[], Awaitable[Client]]) -> None:
        for accepted, packed in (("gzip, br", True), ("br, gzip;q=0", False)):
            reader, writer = await connect()
            writer.write(f"GET /overview.json HTTP/1.0\r\nAccept-Encoding: {accepted}\r\n\r\n".encode())
            head, _, body = (await asyncio.wait_for(reader.read(), 20)).partition(b"\r\n\r\n")
            writer.close()
            assert (b"Content-Encoding: gzip" in head) is packed
            assert json.loads(gzip.decompress(body) if packed else body)["verdicts"] == {"down": 1, "up": 1}

    serve(scene)


def test_metrics_are_packed_for_who_accepts_that() -> None:
    async def scene(connect: Callable[[], Awaitable[Client]]) -> None:
        for accepted, packed in (("gzip", True), ("gzip;q=0, identity", False)):
            reader, writer = await connect()
            writer.write(f"GET /metrics HTTP/1.0\r\nAccept-Encoding: {accepted}\r\n\r\n".encode())
            head, _, body = (await asyncio.wait_for(reader.read(), 20)).partition(b"\r\n\r\n")
            writer.close()
            assert (b"Content-Encoding: gzip" in head) is packed
            text = gzip.decompress(body) if packed else body
            assert b"\ndcedge_virtual_interface_up{" in text
            assert b"\nprocess_open_fds " in text

    serve(scene)


def names(seen: dict[str, Any]) -> list[str]:
    return [vi["name"] for vi in seen["virtual_interfaces"]]


def test_the_overview_has_the_worst_first_with_its_reason() -> None:
    seen = overview()
    assert names(seen) == ["prod-b", "prod-a"]
    assert "the cloud does not answer on TCP 179" in seen["virtual_interfaces"][0]["reason"]
    assert seen["verdicts"] == {"down": 1, "up": 1}


def test_the_overview_is_narrowed_by_verdict_and_by_words() -> None:
    assert names(overview("verdict=up")) == ["prod-a"]
    assert names(overview("verdict=planned")) == []
    assert names(overview("text=FRA-2")) == ["prod-b"]
    assert names(overview("text=prod+fra-1")) == ["prod-a"]
    assert names(overview("text=nowhere")) == []
    assert names(overview("most=1")) == ["prod-b"]
    assert names(overview("most=%F0%9D%9F%99")) == ["prod-b", "prod-a"], "no number, so as many as there are by default"


def test_a_planned_virtual_interface_comes_last_and_counts_apart() -> None:
    seen = overview(router=Router(snapshot(down("a")._replace(admin="planned"), up("b"))))
    assert names(seen) == ["b", "a"]
    assert (seen["verdicts"], seen["planned"]) == ({"up": 1}, 1)
    assert names(overview("verdict=down", router=Router(snapshot(down("a")._replace(admin="planned"))))) == []
    assert names(overview("verdict=planned", router=Router(snapshot(down("a")._replace(admin="planned"))))) == ["a"]
    assert seen["connections"][1]["verdicts"] == {"down": 1}


def test_thousands_of_virtual_interfaces_are_counted_and_a_page_of_them_is_listed() -> None:
    many = replace(snapshot(), virtual_interfaces=tuple(up(f"vi-{number}") for number in range(1200)))
    seen = overview("most=99999", Router(many))
    assert (seen["matching"], len(seen["virtual_interfaces"])) == (1200, MOST_ROWS)


def test_all_about_one_virtual_interface() -> None:
    status, _, body = fetch("/interfaces/prod-b.json", version="1.0")
    seen = json.loads(body)
    assert status == 200
    assert seen["virtual_interface"]["verdict"] == "down"
    assert seen["command"] == "dcedge explain prod-b"
    assert seen["history"] == [{"at": 5.0, "before": "up", "after": "down", "reason": "no carrier"}]
    assert seen["connection"]["name"] == "fra-2"
    for name in ("nobody", "..%2F..%2Fetc%2Fpasswd", "%3Cscript%3E"):
        assert fetch(f"/interfaces/{name}.json")[0] == 404


def test_a_peers_text_is_escaped() -> None:
    hostile = down()._replace(verdict=Verdict("down", "\x1b[31m<script>"))
    reason = overview(router=Router(snapshot(hostile)))["virtual_interfaces"][0]["reason"]
    assert reason == "\\x1b[31m<script>", "printable; that it is no markup is the page's part"


def test_nothing_can_be_changed() -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        assert fetch("/metrics", method=method)[0] == 405


def test_head_is_answered_without_a_body() -> None:
    status, _, body = fetch("/metrics", method="HEAD")
    assert (status, body) == (200, "")


def test_a_request_with_a_body_is_refused_unread() -> None:
    status, _, _ = fetch("/metrics", headers="Content-Length: 1000000000\r\n")
    assert status == 413


@pytest.mark.parametrize(
    "request_text",
    [
        "GET /" + "a" * 20_000 + " HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nX: " + "a" * 20_000 + "\r\n\r\n",
        "\x00\x01\x02 nonsense\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "\r\n" * 5000,
    ],
    ids=["long path", "long header", "binary", "version", "blank lines"],
)
def test_malformed_requests_do_no_harm(request_text: str, caplog: pytest.LogCaptureFixture) -> None:
    async def scene(connect: Callable[[], Awaitable[Client]]) -> None:
        bad = await connect()
        bad[1].write(request_text.encode())
        good = await converse(await connect(), "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert good[0] == 200
        bad[1].close()

    serve(scene)
    assert not [record for record in caplog.records if record.levelname in {"ERROR", "WARNING"}]


def test_a_client_that_never_finishes_its_request_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.2)

    async def scene(connect: Callable[[], Awaitable[Client]]) -> None:
        status, _, _ = await converse(await connect(), "GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        assert status in {0, 408}

    serve(scene)


def test_a_client_that_does_not_read_is_cut_off_and_fills_no_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.2)
    monkeypatch.setattr(module, "_LONGEST", 0.2)
    many = snapshot(*(up(f"vi-{number}") for number in range(2000)))

    async def scene(connect: Callable[[], Awaitable[Client]]) -> None:
        reader, writer = await connect()
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        assert await asyncio.wait_for(gone.wait(), 20)
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        seen = b""
        with suppress(ConnectionError):
            while more := await asyncio.wait_for(reader.read(1 << 20), 20):
                seen += more
        assert b"process_start_time_seconds" not in seen
        writer.close()

    gone = asyncio.Event()
    cut_off = server._ClientConnection.cut_off

    def noted(wire: server._ClientConnection) -> None:
        cut_off(wire)
        gone.set()

    monkeypatch.setattr(server._ClientConnection, "cut_off", noted)
    serve(scene, Router(many))
    assert caplog.text == ""


def test_more_clients_than_the_limit_are_turned_away_and_room_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_CLIENTS", 3)
    request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

    async def scene(connect: Callable[[], Awaitable[Client]]) -> None:
        sitting = [await connect() for _ in range(3)]
        assert (await converse(await connect(), request))[0] == 0
        for _, writer in sitting:
            writer.close()
        deadline = time.monotonic() + 20
        while (status := (await converse(await connect(), request))[0]) != 200:
            assert time.monotonic() < deadline, f"still turned away, last status {status}"
            await asyncio.sleep(0.02)

    serve(scene)


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("127.0.0.1:9478", ("127.0.0.1", 9478)),
        ("[::1]:9478", ("::1", 9478)),
        (":9478", ("", 9478)),
    ],
)
def test_addresses_to_listen_on(text: str, bound: tuple[str, int]) -> None:
    assert parse_listen(text) == bound


@pytest.mark.parametrize("text", ["9478", "localhost:9478", "127.0.0.1:", "127.0.0.1:99999", "a:b"])
def test_what_is_no_address_to_listen_on_is_named(text: str) -> None:
    with pytest.raises(DcedgeError, match=r"127\.0\.0\.1"):
        parse_listen(text)


def test_an_address_in_use_is_a_clear_error() -> None:
    async def scene(connect: Callable[[], Awaitable[Client]]) -> None:
        _, writer = await connect()
        address, port = writer.get_extra_info("peername")
        with pytest.raises(DcedgeError, match="in use"):
            await HttpServer(Router()).start(f"{address}:{port}")
        writer.close()

    serve(scene)


def test_a_scrape_stands_back_while_a_pass_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "_COURTESY_SECONDS", 60.0)
    made: list[bytes] = []

    def recorded(shown: Snapshot, own: DaemonMetrics, wanted: ExpositionFormat) -> Iterator[bytes]:
        for chunk in exposition(shown, own, wanted):
            made.append(chunk)
            yield chunk

    monkeypatch.setattr(module, "exposition", recorded)
    router = Router()
    router.pressed = True

    async def scene(connect: Callable[[], Awaitable[Client]]) -> None:
        answer = asyncio.ensure_future(converse(await connect(), "GET /metrics HTTP/1.0\r\n\r\n"))
        deadline = time.monotonic() + 20
        while router.asked < 10:
            assert time.monotonic() < deadline, "the scrape never asked whether it may go on"
            await asyncio.sleep(0.005)
        assert not made
        router.pressed = False
        status, _, text = await answer
        assert status == 200
        assert text.encode() == b"".join(made)

    serve(scene, router)


def test_a_scrape_does_not_stand_back_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "_COURTESY_SECONDS", 0.05)
    router = Router()
    router.pressed = True
    status, _, text = fetch("/metrics", router)
    assert status == 200
    assert "dcedge_virtual_interface_up" in text
