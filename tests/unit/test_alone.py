"""Changes without a daemon: what root's command and the guard do by themselves."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dcedge.api.control.client import ControlClient
from dcedge.cli.app import app
from dcedge.daemon import alone
from dcedge.errors import NotRunningError
from dcedge.order.load import parse_order
from dcedge.reconcile.reconciler import Reconciler
from dcedge.reconcile.state import writer_lock
from dcedge.reconcile.state.formats import Pending
from dcedge.reconcile.state.state_dir import StateDir
from dcedge.reconcile.state.store import Store
from dcedge.settings import Settings
from tests.unit.fake.router import FakeRouter

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
NOBODY = 65534
WAIT_SECONDS = 20.0


def order(rate: str, password: str = "") -> str:
    """One virtual interface."""
    bgp = f"bgp: {{password: {password}}}" if password else ""
    return f"""
router: {{asn: 65010, router_id: 10.255.0.1, advertise: [192.0.2.0/24]}}
connections:
  fra-1: {{provider: generic, port: eth1, bandwidth: 1G}}
virtual_gateways:
  prod: {{vpc: vpc-prod, asn: 64512, accept: [10.20.0.0/16]}}
virtual_interfaces:
  a:
    connection: fra-1
    virtual_gateway: prod
    vlan: 1
    bandwidth: {rate}
    addresses: [{{customer: 10.255.1.2/30, cloud: 10.255.1.1}}]
    {bgp}
"""


@pytest.fixture
def router(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRouter]:
    """A router on which no daemon runs; as with a real one, everybody may read its /proc/sys."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    made = FakeRouter(folder, monkeypatch)

    @contextmanager
    def reconciling(_: Settings) -> Iterator[Reconciler]:
        made.start()
        yield made.reconciler

    monkeypatch.setattr(alone, "reconciling", reconciling)
    monkeypatch.setattr(alone, "GRACE_SECONDS", 0.0)
    monkeypatch.setattr(writer_lock, "RUN_FOLDER", tmp_path / "run")
    yield made
    shutil.rmtree(folder)


def settings_of(router: FakeRouter) -> Settings:
    return router.reconciler.settings


def rate(router: FakeRouter) -> int:
    """Of the virtual interface, in Mbit/s."""
    return router.kernel.htb_class("eth1.1", 1).rate * 8 // 1_000_000


def apply(router: FakeRouter, text: str, seconds: float | None = None) -> None:
    assert alone.apply(settings_of(router), parse_order(text, "order.yaml"), seconds)["complete"]


def secret_file(path: Path, secret: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(secret)
    return path


@AS_ROOT
def test_an_order_from_the_services_folder_has_root_read_no_file_of_roots(router: FakeRouter) -> None:
    """FRR would show it to whoever wrote the order there: the service's user."""
    token = secret_file(router.folder / "root" / "token", "for-root-only")
    store = Store(settings_of(router).state_dir)
    store.orders.save_last_good(order("50M", f"{{file: {token}}}"))
    store.orders.save_last_good(order("60M"))
    for path in (store.folder, *store.folder.iterdir()):
        os.chown(path, NOBODY, NOBODY)
    alone.roll_back(settings_of(router))
    assert rate(router) == 50
    assert not any("for-root-only" in line for line in router.frr_lines)


@AS_ROOT
def test_an_order_from_the_services_folder_has_its_credentials(router: FakeRouter) -> None:
    secret_file(settings_of(router).credentials / "prod", "by-name")
    store = Store(settings_of(router).state_dir)
    store.orders.save_last_good(order("50M", "{credential: prod}"))
    store.orders.save_last_good(order("60M"))
    for path in (store.folder, *store.folder.iterdir()):
        os.chown(path, NOBODY, NOBODY)
    alone.roll_back(settings_of(router))
    assert any("by-name" in line for line in router.frr_lines)


def test_an_order_that_cannot_be_gone_back_to_is_settled_by_apply(router: FakeRouter) -> None:
    store = Store(settings_of(router).state_dir)
    store.pending_order.save(Pending.starting(order("60M"), "no order", {}, 0.0))
    apply(router, order("70M"))
    assert (rate(router), store.pending_order.get(), store.orders.last_good()) == (70, None, order("70M"))


def test_the_guard_ends_when_all_is_written_and_undoes_nothing_of_others(
    router: FakeRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(router, order("50M"))
    apply(router, order("60M"), seconds=0.1)
    full, tried, write = [True], threading.Event(), StateDir.write

    def checked(folder: StateDir, name: str, contents: bytes) -> None:
        if full:
            tried.set()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(folder, name, contents)

    monkeypatch.setattr(StateDir, "write", checked)
    guard = threading.Thread(target=alone.guard, args=(settings_of(router),))
    guard.start()
    assert tried.wait(WAIT_SECONDS)
    guard.join(1.0)
    assert guard.is_alive(), "the rollback is not written down: a restart would have to finish it"
    full.clear()
    guard.join(WAIT_SECONDS)
    assert not guard.is_alive()
    store = Store(settings_of(router).state_dir)
    assert (rate(router), store.pending_order.get(), store.orders.last_good()) == (50, None, order("50M"))


def test_confirm_says_what_a_full_disk_keeps_from_being_written(
    router: FakeRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def nowhere(_: ControlClient) -> None:
        raise NotRunningError("no daemon answers")

    apply(router, order("50M"))
    apply(router, order("60M"), seconds=60.0)
    monkeypatch.setattr(StateDir, "write", full)
    monkeypatch.setattr(ControlClient, "confirm", nowhere)
    folder = str(settings_of(router).state_dir)
    done = CliRunner().invoke(app, ["confirm", "--state-dir", folder, "--order", f"{folder}/none.yaml"])
    assert done.exit_code == 0
    said = " ".join(done.output.split())
    assert f"{folder}/last-good-order.yaml cannot be written (No space left on device)" in said
    assert said.endswith("Confirmed.")
    assert Store(settings_of(router).state_dir).pending_order.get() is None
