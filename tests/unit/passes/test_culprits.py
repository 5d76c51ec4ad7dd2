"""Whoever is in the way is named: in `plan` where it shows there, in what a pass could not do, so in the verdict."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from dcedge.api.plan import preview_notes
from dcedge.kernel import culprit, proc_sys
from dcedge.order.model import Order
from dcedge.reconcile.state.formats import Runtime
from tests.unit.fake.router import FakeRouter
from tests.unit.passes.orders import ONE

VLAN_10 = "VLAN 1 on eth1 is vlan10 already, which is not dcedge's: remove it, or order another VLAN"


def failures(router: FakeRouter, ordered: Order = ONE) -> dict[str, str]:
    return {str(failure.operation.key): failure.text for failure in router.run(ordered).failures}


def test_a_vlan_under_another_name(router: FakeRouter) -> None:
    router.kernel.add_link("vlan10", below="eth1", vlan=1)
    preview = router.reconciler.preview(router.reconciler.intent(ONE, Runtime()))
    assert VLAN_10 in preview_notes(preview)
    assert failures(router)["link eth1.1"] == VLAN_10
    router.kernel.remove_link("vlan10")
    assert router.run(ONE).complete


def test_a_vlan_that_is_no_link_of_this_namespace(router: FakeRouter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(culprit, "NAMESPACES", Path("/nonexistent"))
    router.kernel.refuse("RTM_NEWLINK", code=errno.EEXIST, text="VLAN device already exists", where="eth1.1")
    said = failures(router)["link eth1.1"]
    assert said.startswith("VLAN 1 on eth1 is in use in another network namespace: find it with `ip -all netns exec")


def test_a_links_name_that_is_anothers_altname(router: FakeRouter) -> None:
    router.kernel.link("eth2").altnames.append("eth1.1")
    said = failures(router)["link eth1.1"]
    assert said == "eth1.1 is an alternative name of eth2: `ip link property del dev eth2 altname eth1.1`"


def test_an_altname_that_is_anothers(router: FakeRouter) -> None:
    router.kernel.link("eth2").altnames.append("vi-a")
    said = failures(router)["link eth1.1"]
    assert said.startswith("the name vi-a belongs to eth2, which is not dcedge's: `ip link property del dev eth2")


@pytest.mark.parametrize("places", [("default",), ("all", "default")], ids=["for new links", "for all links"])
def test_ipv6_that_is_switched_off(router: FakeRouter, places: tuple[str, ...]) -> None:
    for place in places:  # the kernel sets `default` with `all`
        router.kernel.set_sysctl(f"net/ipv6/conf/{place}/disable_ipv6", 1)
    said = failures(router)
    (text,) = {text for key, text in said.items() if "2001:db8" in key}
    setting = "net/ipv6/conf/eth1.1/disable_ipv6"
    assert text == f"IPv6 is switched off on it: {setting} is 1 (`sysctl -w {setting}=0`; see /etc/sysctl.d)"
    assert not any("10.255" in key for key in said), "IPv4 goes on"
    router.kernel.set_sysctl(setting, 0)
    assert not failures(router)


def test_a_kernel_without_ipv6_says_so_of_all_that_wants_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = failures(FakeRouter(tmp_path, monkeypatch, lacks=("ipv6",)))
    assert {key for key, text in said.items() if proc_sys.NO_IPV6 in text} == said.keys()
    assert {key.split()[0] for key in said} == {"address", "sysctl"}
    assert not any("10.255" in key for key in said), "IPv4 goes on"
