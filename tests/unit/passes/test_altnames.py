"""A port by another name than its own, or by what card it is: as if the order had its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from dcedge.kernel.port import names
from dcedge.order.model import Order
from dcedge.reconcile.state.formats import Runtime
from tests.unit.fake.router import FakeRouter
from tests.unit.kernel.orders import vi
from tests.unit.passes.orders import order

LONG = "enp129s0f0np0-fibre-to-frankfurt"


def on(port: object, **more: object) -> Order:
    ports = {"fra-1": {"provider": "generic", "port": port, "bandwidth": "1G"}, **more}
    return order({"a": vi(1)}, connections=ports)


def named(router: FakeRouter, name: str, altname: str) -> None:
    router.kernel.link(name).altnames.append(altname)


def test_an_order_by_altname_is_done_on_the_port_and_settles(router: FakeRouter) -> None:
    named(router, "eth1", LONG)
    assert router.run(on(LONG)).complete
    assert router.kernel.link("eth1.1").alias == "dcedge:a"
    assert not router.run(on(LONG)).done, "nothing is left to do"
    assert not router.run(on("eth1")).done, "the two names are one port"


def test_the_name_may_come_later_than_the_order(router: FakeRouter) -> None:
    assert not router.run(on(LONG)).complete
    named(router, "eth1", LONG)
    assert router.run(on(LONG)).complete


def test_members_of_a_bond_may_be_named_so_too(router: FakeRouter) -> None:
    named(router, "eth1", "left")
    named(router, "eth2", "right")
    bond = {"bond": "bond0", "members": ("left", "right"), "lacp_rate": "fast", "min_links": 1}
    assert router.run(on(bond)).complete
    assert not router.run(on(bond)).done
    bond0 = router.kernel.link("bond0").index
    assert [router.kernel.link(name).master for name in ("eth1", "eth2")] == [bond0, bond0]


def test_two_connections_do_not_share_a_port_by_two_names(router: FakeRouter) -> None:
    named(router, "eth1", LONG)
    twice = on("eth1", **{"fra-2": {"provider": "generic", "port": LONG, "bandwidth": "1G"}})
    intent = router.reconciler.intent(twice, Runtime())
    assert intent.ports == {}, "the other name leads nowhere, as that of a port that is not there"


CARD, OTHER = "52:54:00:12:34:56", "52:54:00:12:34:57"


def test_a_port_by_its_cards_permanent_address_whatever_address_and_name_it_has(router: FakeRouter) -> None:
    router.kernel.set_link("eth1", permanent=OTHER)
    router.kernel.set_link("eth2", permanent=CARD)
    assert router.run(on({"mac": CARD.upper()})).complete
    assert router.kernel.link("eth2.1").alias == "dcedge:a"
    assert not router.run(on({"mac": CARD})).done
    assert not router.run(on("eth2")).done, "the two are one port"


def test_a_vlan_with_its_ports_address_is_not_the_card(router: FakeRouter) -> None:
    for name, vlan in (("eth0.9", 9), ("eth1.9", 9)):
        router.kernel.add_link(name, below="eth1", vlan=vlan)
    address = router.kernel.link("eth1").hardware.hex(":")
    assert router.run(on({"mac": address})).complete
    assert router.kernel.link("eth1.1").alias == "dcedge:a"


def test_a_card_that_is_not_there_is_said_and_may_come_later(router: FakeRouter) -> None:
    assert not router.run(on({"mac": CARD})).complete
    router.kernel.set_link("eth1", permanent=CARD)
    assert router.run(on({"mac": CARD})).complete


def test_a_port_by_its_place_on_the_bus(router: FakeRouter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "SYSFS_LINKS", tmp_path / "net")
    for link, place in (("eth1", "0000:03:00.0"), ("eth2", "0000:04:00.0/virtio2")):
        (tmp_path / "net" / link).mkdir(parents=True)
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / "net" / link / "device").symlink_to(tmp_path / place)
    assert router.run(on({"path": "pci-0000:04:00.0"})).complete
    assert router.kernel.link("eth2.1").alias == "dcedge:a"
    (tmp_path / "net" / "eth3").mkdir()
    (tmp_path / "net" / "eth3" / "device").symlink_to(tmp_path / "0000:03:00.0")
    assert not router.run(on({"path": "pci-0000:03:00.0"})).complete, "two ports are at that place"


def swapped_by_a_reboot(router: FakeRouter) -> None:
    router.kernel.remove_link("eth1.1")
    router.kernel.set_link("eth1", permanent=OTHER)
    router.kernel.set_link("eth2", permanent=CARD)
    router.start()


def test_a_name_that_another_card_has_after_a_boot_is_left_alone_until_somebody_applies(router: FakeRouter) -> None:
    router.kernel.set_link("eth1", permanent=CARD)
    router.kernel.set_link("eth2", permanent=OTHER)
    assert router.run(on("eth1")).complete
    router.start()
    assert not router.run(on("eth1")).done
    swapped_by_a_reboot(router)
    result = router.run(on("eth1"))
    assert not result.complete
    assert [warning for warning in result.warnings if CARD in warning] == [
        f"port eth1 was the card {CARD} when it was ordered, and is {OTHER} now: nothing is done on it until"
        " `dcedge apply`, or until the port is ordered by its card ({mac: …})"
    ]
    assert "eth1.1" not in {link.name for link in router.kernel.links.values()}
    assert not router.run(on("eth1")).complete, "not the next time either"
    assert router.run(on({"mac": CARD})).complete
    assert router.kernel.link("eth2.1").alias == "dcedge:a"


def test_an_apply_takes_the_card_that_has_the_name_now(router: FakeRouter) -> None:
    router.kernel.set_link("eth1", permanent=CARD)
    assert router.run(on("eth1")).complete
    swapped_by_a_reboot(router)
    router.store.forget_cards()  # as an apply does
    assert router.run(on("eth1")).complete
    assert router.kernel.link("eth1.1").alias == "dcedge:a"
    router.start()
    assert not router.run(on("eth1")).done
