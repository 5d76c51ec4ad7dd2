"""Settings: only the network's are touched, and only those are put back that an order can have changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from dcedge.errors import KernelError
from dcedge.kernel import sysctl
from dcedge.kernel.derive import FORWARDING, SETTINGS
from dcedge.kernel.limits import kernel_limits
from dcedge.kernel.objects import Sysctl
from dcedge.reconcile import purge_intent
from dcedge.resource import Key
from dcedge.store import Owned


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings of a kernel's: the network's, one beside them, and a file that is none."""
    root = tmp_path / "sys"
    for name in ("net/ipv4/ip_forward", "kernel/core_pattern"):
        (root / name).parent.mkdir(parents=True)
        (root / name).write_text("0")
    (tmp_path / "passwd").write_text("0")
    monkeypatch.setattr(sysctl, "ROOT", root)
    return root


def test_a_setting_of_the_networks_is_read_and_set(settings: Path) -> None:
    sysctl.write("net/ipv4/ip_forward", 1)
    assert sysctl.read("net/ipv4/ip_forward") == 1
    assert sysctl.read("net/ipv4/ip_forwarding") is None


@pytest.mark.parametrize(
    "path",
    [
        "kernel/core_pattern",
        "net/../kernel/core_pattern",
        "net/ipv4/../../../passwd",
        "../passwd",
        "/etc/passwd",
        "net//etc/passwd",
        "net",
        "net/.",
        "",
        "net/link",
        "net/folder/passwd",
    ],
)
def test_nothing_else_can_be_named(settings: Path, path: str) -> None:
    (settings / "net" / "link").symlink_to(settings.parent / "passwd")
    (settings / "net" / "folder").symlink_to(settings.parent)
    with pytest.raises(KernelError):
        sysctl.write(path, 1)
    for untouched in (settings.parent / "passwd", settings / "kernel" / "core_pattern"):
        assert untouched.read_text() == "0"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("kernel/core_pattern", 1),
        ("net/ipv4/../../kernel/core_pattern", 1),
        ("/etc/cron.d/job", 1),
        ("net/ipv4/conf/all/accept_redirects", 1),  # below net/, and still none of what orders set
        ("net/ipv4/ip_forward", "|/tmp/program"),
    ],
)
def test_a_purge_puts_back_no_setting_that_no_order_makes(
    path: str, value: object, caplog: pytest.LogCaptureFixture
) -> None:
    before: dict[str, int] = {path: value, "net/core/optmem_max": 131072}  # type: ignore[dict-item]
    assert purge_intent(Owned(sysctl_before=before)).kernel == {
        Key("sysctl", "net.core.optmem_max"): Sysctl("net/core/optmem_max", 131072)
    }
    assert path in caplog.text


def test_every_setting_that_an_order_makes_can_be_put_back() -> None:
    made = {setting.path for setting in (*FORWARDING, *kernel_limits(pairs=10_000, keys=10_000))}
    assert made == SETTINGS
    before = dict.fromkeys(made, 7)
    assert {r.path for r in purge_intent(Owned(sysctl_before=before)).kernel.values() if isinstance(r, Sysctl)} == made
