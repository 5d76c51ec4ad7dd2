"""Settings: only the network's are touched, and only those are put back that an order can have changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from dcedge.errors import KernelError
from dcedge.kernel import proc_sys
from dcedge.kernel.sysctl.derive import IPV4_FORWARDING, IPV6_FORWARDING, SETTINGS
from dcedge.kernel.sysctl.limits import kernel_limits
from dcedge.kernel.sysctl.resource import Sysctl
from dcedge.plan.resource import Key
from dcedge.reconcile.reconciler import purge_intent
from dcedge.reconcile.state.formats import Owned


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings of a kernel's: the network's, one beside them, and a file that is none."""
    root = tmp_path / "sys"
    for name in ("net/ipv4/ip_forward", "kernel/core_pattern"):
        (root / name).parent.mkdir(parents=True)
        (root / name).write_text("0")
    (tmp_path / "passwd").write_text("0")
    monkeypatch.setattr(proc_sys, "ROOT", root)
    return root


def test_a_setting_of_the_networks_is_read_and_set(settings: Path) -> None:
    proc_sys.write("net/ipv4/ip_forward", 1)
    assert proc_sys.read("net/ipv4/ip_forward") == 1
    assert proc_sys.read("net/ipv4/ip_forwarding") is None


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
        "net/folder/sys/kernel/core_pattern",
        "net/ipv4/folder/passwd",
    ],
)
def test_nothing_else_can_be_named(settings: Path, path: str) -> None:
    (settings / "net" / "link").symlink_to(settings.parent / "passwd")
    for above in ("net", "net/ipv4"):
        (settings / above / "folder").symlink_to(settings.parent)
    with pytest.raises(KernelError):
        proc_sys.write(path, 1)
    with pytest.raises(KernelError):
        proc_sys.read(path)
    for untouched in (settings.parent / "passwd", settings / "kernel" / "core_pattern"):
        assert untouched.read_text() == "0"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("kernel/core_pattern", 1),
        ("net/ipv4/../../kernel/core_pattern", 1),
        ("/etc/cron.d/job", 1),
        ("net/ipv4/conf/all/send_redirects", 1),  # below net/, and still none of what orders set
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
    settings = (IPV4_FORWARDING, IPV6_FORWARDING, *kernel_limits(pairs=10_000, keys=10_000))
    made = {setting.path for setting in settings}
    assert made == SETTINGS
    before = dict.fromkeys(made, 7)
    assert {r.path for r in purge_intent(Owned(sysctl_before=before)).kernel.values() if isinstance(r, Sysctl)} == made
