"""Whatever way a text takes out of the process, no secret goes along, nor half of one that somebody echoed."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Callable, Mapping
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from dcedge.api.control.client import ControlClient
from dcedge.api.control.control_server import Command, Reply, start_control
from dcedge.api.detail import detail_json
from dcedge.api.http.endpoint import HttpEndpoint
from dcedge.api.metrics.instruments import DaemonMetrics
from dcedge.api.overview import Wanted, overview_json
from dcedge.api.plan import applied_json
from dcedge.api.status import status_chunks, status_json
from dcedge.cli import entry as command
from dcedge.cli.exits import fail
from dcedge.cli.print_status import print_status
from dcedge.daemon.systemd import Supervisor
from dcedge.errors import DcedgeError, FrrError, FrrUnavailableError
from dcedge.explain.evidence import DaemonSays
from dcedge.explain.outcome import Explanation, LayerStep
from dcedge.explain.report import explanation_json, print_explanation
from dcedge.kernel.context import Failure
from dcedge.logging.handlers import CollapsingHandler, to_journal, to_stderr
from dcedge.monitor.health.history import HistoryFile
from dcedge.monitor.health.tracker import Transition
from dcedge.monitor.health.verdict import Verdict
from dcedge.monitor.last_hour import Hour
from dcedge.monitor.snapshot import FrrSnapshot, OrderSnapshot, PassSnapshot, Snapshot
from dcedge.order.credentials import CredentialError, Secret
from dcedge.order.field_types import Family
from dcedge.plan.diff import Operation, Plan
from dcedge.plan.resource import Key
from dcedge.reconcile.desired import NOTHING
from dcedge.reconcile.result import PassResult
from tests.unit.explain.scene import WELL
from tests.unit.expose.scene import complete, own_metrics, rendered, session
from tests.unit.test_logs import logger

KEY = 'TVALUE-"of"/4172'
PIECES = (KEY, KEY[:4], KEY[-4:], 'E-\\"of', json.dumps(KEY)[1:-1])
# As an echo has it: whole, its head before what came next, its end where the line ended.
ECHO = f"said: {KEY} password {KEY[:6]}ighbor, Unknown command: {KEY[5:]}"
HIDDEN = "said: *** password ***ighbor, Unknown command: ***"


@pytest.fixture(autouse=True)
def secret() -> Secret:
    """The one that is in force."""
    return Secret(KEY)


def pieces_in(text: str) -> list[str]:
    return [piece for piece in PIECES if piece in text]


def scene() -> Snapshot:
    """One in which everybody who says anything says the secret."""
    shown = complete()
    lost: dict[Family, Any] = {family: session(family)._replace(last_reset=ECHO) for family in ("ipv4", "ipv6")}
    vi = shown.virtual_interfaces[0]._replace(
        verdict=Verdict("down", ECHO), failing=(ECHO,), sessions=(lost["ipv4"], lost["ipv6"])
    )
    return replace(
        shown,
        virtual_interfaces=(vi, *shown.virtual_interfaces[1:]),
        frr=FrrSnapshot(available=True, detail=ECHO),
        passes=PassSnapshot(failing=(ECHO,), notes=(ECHO,)),
        order=OrderSnapshot("order.yaml", load_failed=True, problems=(ECHO,)),
    )


class Daemon:
    """What HTTP and the control socket serve."""

    def snapshot(self) -> Snapshot:
        return scene()

    def metrics(self) -> DaemonMetrics:
        return own_metrics()

    def hour(self) -> Hour:
        return Hour()

    def order_text(self) -> str:
        return ""

    def history(self, name: str) -> tuple[Transition, ...]:
        return (Transition(5.0, "up", "down", ECHO),)

    def urgent(self) -> bool:
        return False

    def commands(self) -> Mapping[str, Command]:
        async def fails(_: str, __: Mapping[str, str]) -> Reply:
            raise DcedgeError(ECHO)

        return {"apply": fails}


def over_http(path: str) -> str:
    async def run() -> str:
        endpoint = HttpEndpoint(Daemon())
        address, port = await endpoint.serve_at("127.0.0.1:0")
        reader, writer = await asyncio.open_connection(address, port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode())
        said = (await reader.read()).decode()
        writer.close()
        await endpoint.close()
        return said

    return asyncio.run(run())


def over_the_socket(folder: Path) -> str:
    def ask() -> object:
        client = ControlClient(folder / "socket", timeout=20)
        with pytest.raises(DcedgeError) as refused:
            client.command("apply", "")
        return str(refused.value), client.status(), client.detail("prod-a"), client.history("prod-a")

    async def run() -> object:
        async with start_control(folder / "socket", Daemon()):
            return await asyncio.to_thread(ask)

    return json.dumps(asyncio.run(run()))


def on_screen(show: Callable[[Console], None]) -> str:
    output = StringIO()
    show(Console(file=output, width=1000))
    return output.getvalue()


def a_pass() -> str:
    operation = Operation("change", Key("frr-session", "prod-a"), None, None, (), "differs", "none", ("prod-a",))
    intent = replace(NOTHING, missing_credentials={"prod-a": CredentialError(ECHO)}, firewall={operation.key: WELL})  # type: ignore[dict-item]
    result = PassResult(
        finished=0.0,
        executed=0.0,
        duration=0.0,
        intent=intent,
        indices={},
        done=Plan(()),
        failures=(Failure(operation, ECHO, True),),
        frr_available=False,
        frr_detail=ECHO,
        firewall_detail=ECHO,
        frr_unsaved=ECHO,
        changed_meanwhile=False,
        warnings=(),
    )
    return json.dumps(applied_json(result))


def an_explanation() -> str:
    fault = LayerStep("bgp", "BGP", "failed", ECHO, "cloud", (ECHO, f"and {ECHO}"))
    evidence = replace(WELL, unseen=(ECHO,), daemon=DaemonSays("down", ECHO, "bgp", "cloud", 5.0))
    walked = Explanation((LayerStep("neighbour", "ARP and ND", "ok", ECHO), fault), fault)
    return json.dumps(explanation_json(evidence, walked)) + on_screen(lambda c: print_explanation(c, evidence, walked))


WAYS: dict[str, Callable[[], str]] = {
    "status --json": lambda: json.dumps(status_json(scene())),
    "status in pieces": lambda: b"".join(status_chunks(scene())).decode(),
    "status": lambda: on_screen(lambda console: print_status(console, status_json(scene()))),
    "status of one": lambda: json.dumps(detail_json(scene(), "prod-a", Hour(), Daemon().history("prod-a"))),
    "the overview": lambda: json.dumps(overview_json(scene(), Hour(), Wanted())),
    "apply": a_pass,
    "explain": an_explanation,
    "an error of FRR's": lambda: str(FrrError(ECHO)) + repr(FrrError(ECHO)),
    "one of a daemon that is away": lambda: repr(FrrUnavailableError(ECHO)),
    "the page": lambda: over_http("/"),
    "the page's overview": lambda: over_http("/overview.json"),
    "the page's detail": lambda: over_http("/interfaces/prod-a.json"),
    "metrics over HTTP": lambda: over_http("/metrics"),
}


@pytest.mark.parametrize("way", WAYS)
def test_no_way_out_tells_a_secret(way: str) -> None:
    said = WAYS[way]()
    assert said
    assert pieces_in(said) == []
    if "metrics" not in way and way != "the page":  # which have no text of anybody's in them
        assert HIDDEN in said


@pytest.mark.parametrize("openmetrics", [False, True])
def test_no_metric_has_text_of_anybodys_in_it(openmetrics: bool) -> None:
    text = rendered(scene(), openmetrics).decode()
    assert 'virtual_interface="prod-a"' in text
    assert "said:" not in text
    assert pieces_in(text) == []


def test_names_are_left_as_they_are(known_secrets: object) -> None:
    names = [Secret("prod-a"), Secret("fra-1-Kaiserlei")]
    status = status_json(scene())
    assert [vi["name"] for vi in status["virtual_interfaces"]] == ["prod-a", "prod-b"]
    assert {vi["connection"] for vi in status["virtual_interfaces"]} == {"fra-1", "fra-2"}
    assert 'virtual_interface="prod-a"' in rendered(scene()).decode()
    assert len(names) == 2


def test_the_control_socket_tells_none(tmp_path: Path) -> None:
    said = over_the_socket(tmp_path)
    assert said.count(HIDDEN) > 5
    assert pieces_in(said) == []


def test_the_history_file_tells_none(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    # Shortened it is only after that.
    HistoryFile(path).append([("prod-a", Transition(5.0, "up", "down", f"{'x' * 236} {KEY}"))], dict)
    HistoryFile(path).append([("prod-a", Transition(5.0, "up", "down", ECHO))], dict)
    assert HIDDEN in path.read_text()
    assert pieces_in(path.read_text()) == []
    assert "xxx TVA" not in path.read_text()


def test_systemds_status_tells_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        Supervisor().status(lambda: ECHO)
        assert systemd.recv(4096).decode() == f"STATUS={HIDDEN}"


def a_flood(log: logging.Logger) -> None:
    """One that is told a few times, and at its end how often it came."""
    for _ in range(10):
        log.warning("again: %s", ECHO)
    for handler in log.handlers:
        handler.close()


def an_exception(log: logging.Logger) -> None:
    """One that another led to, both with the secret, and in a line of the program's besides."""
    try:
        try:
            raise KeyError(ECHO)
        except KeyError:
            raise ValueError(ECHO) from OSError(5, ECHO)
    except ValueError:
        log.exception("%s", ECHO)


@pytest.mark.parametrize(
    "tell",
    [lambda log: log.error(ECHO), lambda log: log.info("%s %r", ECHO, {"a": ECHO}), a_flood, an_exception],
    ids=["as it is", "as an argument", "again and again", "an exception"],
)
def test_the_log_tells_none(tell: Callable[[logging.Logger], None], capsys: pytest.CaptureFixture[str]) -> None:
    sent: list[dict[str, Any]] = []

    def send(**fields: Any) -> None:
        sent.append(fields)

    for handler in (CollapsingHandler(to_stderr), CollapsingHandler(lambda record: to_journal(record, send))):
        tell(logger(handler))
    for said in (capsys.readouterr().err, str(sent)):
        assert HIDDEN in said
        assert pieces_in(said) == []


def test_the_end_of_a_command_tells_none(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        fail(ECHO, 1)
    assert capsys.readouterr().err == f"{HIDDEN}\n"


def test_an_error_that_nobody_has_foreseen_tells_none(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object) -> None:
        raise RuntimeError(ECHO) from ValueError(ECHO)

    monkeypatch.setattr("dcedge.daemon.start.serve", breaks)
    monkeypatch.setattr("sys.argv", ["dcedge", "run"])
    with pytest.raises(SystemExit) as end:
        command.main()
    said = capsys.readouterr().err
    assert end.value.code == 1
    assert "Traceback" in said
    assert HIDDEN in said
    assert pieces_in(said) == []
