"""All that the control socket answers is of the type that is declared for it, for whoever reads it as JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dcedge.api.control.replies import AppliedReply, ConfirmedReply, CredentialsReply, DrainedReply
from dcedge.api.detail import Detail, detail_json
from dcedge.api.overview import Overview, Wanted, overview_json
from dcedge.api.status import Status, status_json
from dcedge.daemon.service import Service
from dcedge.order.load import parse_order
from dcedge.reconcile.in_force import OrderInForce
from dcedge.reconcile.state import writer_lock
from dcedge.reconcile.state.store import Store
from dcedge.settings import Settings
from tests.unit.expose.fits import misfits
from tests.unit.expose.scene import complete
from tests.unit.expose.town import Town
from tests.unit.fake.router import FakeRouter
from tests.unit.order.test_removal import ordered

FOUR, THREE = (ordered(dict.fromkeys(range(count), "bgp")) for count in (4, 3))
ONE = json.dumps({"names": ["vi-01"], "all_but": False})


def as_json(value: object) -> Any:
    return json.loads(json.dumps(value))


def test_what_is_shown_is_as_declared() -> None:
    town = Town(12)
    for shown in (complete(), town.snapshot()):
        assert misfits(as_json(status_json(shown)), Status) == []
        assert misfits(as_json(overview_json(shown, town.hour(), Wanted())), Overview) == []
        for vi in shown.virtual_interfaces:
            detail = detail_json(shown, vi.name, town.hour(), town.history(vi.name))
            assert misfits(as_json(detail), Detail) == []


def test_a_key_that_is_not_declared_one_that_is_missing_and_another_type_are_found() -> None:
    status = as_json(status_json(complete()))
    del status["router"]["asn"]
    status["virtual_interfaces"][0]["bgp"][0]["up"] = "yes"
    status["order"]["more"] = 1
    assert sorted(misfits(status, Status)) == [
        ".order.more is declared nowhere",
        ".router.asn is missing",
        ".virtual_interfaces[0].bgp[0].up: 'yes' is no bool",
    ]


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    """A daemon whose first two passes lack something that the kernel refuses, and whose later ones do all."""
    monkeypatch.setattr(writer_lock, "RUN_FOLDER", tmp_path / "run")
    router = FakeRouter(tmp_path, monkeypatch)
    order = parse_order(FOUR, "order.yaml").order
    router.kernel.refuse("RTM_NEWQDISC", code=12, text="no room")
    lacking = router.run(order)
    router.kernel.behave()
    passes = [lacking, lacking, router.run(order)]
    settings = Settings(
        order=tmp_path / "order.yaml",
        state_dir=tmp_path,
        listen="127.0.0.1:0",  # another run of this test may be at work on this machine
        frr_pathspace="dcedge-none",
    )
    settings.order.write_text(FOUR)
    in_force = OrderInForce(settings, Store(tmp_path))
    in_force.start()
    made = Service(in_force)
    monkeypatch.setattr(made.reconciler, "run", lambda *_: passes.pop(0) if len(passes) > 1 else passes[0])
    return made


def test_what_is_answered_to_a_change_is_as_declared(daemon: Service) -> None:
    verbs = daemon.commands.by_verb

    async def ask(verb: str, declared: object, body: str = "", **parameters: str) -> Mapping[str, object]:
        answer = await verbs[verb](body, parameters)
        assert misfits(as_json(answer), declared, verb) == []
        return answer

    async def all_of_them() -> None:
        await ask("credentials", CredentialsReply, "{}")
        assert (await ask("apply", AppliedReply, THREE, confirm="300", allow_removal="1"))["rolled_back"] is True
        await ask("reload", AppliedReply)
        assert "confirm_seconds" in await ask("apply", AppliedReply, THREE, confirm="300", allow_removal="1")
        await ask("confirm", ConfirmedReply)
        await ask("drain", DrainedReply, ONE, force="yes")
        await ask("undrain", DrainedReply, ONE)
        await ask("rollback", AppliedReply)

    try:
        asyncio.run(all_of_them())
    finally:
        daemon.close()
