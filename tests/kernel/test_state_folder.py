"""A state folder that is full, read-only or gone: the data plane is as ordered, and what a restart forgets is said.

One story on one router, each scenario going on from the last.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.bed import ORDER, Bed
from tests.lab.disk import Disk
from tests.lab.edge import Edge
from tests.lab.small_disk import SmallDisk
from tests.lab.wait import until

VIRTUAL_INTERFACES = ("prod-a", "prod-b", "dev-a")


@pytest.fixture(scope="module")
def router() -> Iterator[tuple[Bed, SmallDisk]]:
    """The standard testbed with a small disk under the state folder; the daemon does not run yet."""
    with Bed() as bed:
        disk = SmallDisk(bed.edge.state_dir)
        try:
            yield bed, disk
        finally:
            bed.edge.stop_daemon()
            disk.unmount()


def links(edge: Edge) -> str:
    """The router's links."""
    return edge.namespace.run("ip", "-br", "link").stdout


def notes(edge: Edge) -> str:
    """What `status` notes."""
    return "\n".join(edge.status()["pass"]["notes"])


def rate(edge: Edge) -> int:
    """What prod-a is shaped to, in Mbit/s."""
    said = edge.namespace.run("tc", "class", "show", "dev", "eth1.101").stdout
    return 60 if "60Mbit" in said else 50 if "50Mbit" in said else 0


def order(**changes: str) -> str:
    """The lab's order with other words in it."""
    text = ORDER.read_text()
    for before, after in changes.items():
        assert f"bandwidth: {before[1:]}" in text
        text = text.replace(f"bandwidth: {before[1:]}", f"bandwidth: {after}", 1)
    return text


def test_full_from_the_boot_on_all_comes_up(router: tuple[Bed, SmallDisk]) -> None:
    bed, disk = router
    disk.fill()
    bed.edge.start_daemon()
    bed.wait_up(*VIRTUAL_INTERFACES)
    assert "cannot be written (No space left on device): a restart would lose" in notes(bed.edge)
    assert "No space left on device" in bed.edge.dcedge("status").stdout


def test_what_is_lost_is_repaired_all_the_same(router: tuple[Bed, SmallDisk]) -> None:
    bed, _ = router
    bed.edge.namespace.ip("link delete dev eth1.101")
    until("the link", lambda: links(bed.edge), accept=lambda said: "eth1.101@" in said)
    bed.wait_up(*VIRTUAL_INTERFACES)


def test_a_reload_and_a_drain_are_done_and_say_what_a_restart_would_forget(router: tuple[Bed, SmallDisk]) -> None:
    bed, _ = router
    edge = bed.edge
    edge.order.write_text(order(_50M="60M"))
    done = edge.dcedge("reload")
    assert (done.status, rate(edge)) == (0, 60), done.said
    assert "a restart would lose" in done.stdout
    assert edge.virtual_interfaces()["prod-a"]["ordered_bps"] == 60_000_000
    drained = edge.dcedge("drain", "prod-a", "--wait", "20s")
    assert drained.status == 0, drained.said
    assert edge.virtual_interfaces()["prod-a"]["verdict"] == "drained"
    assert edge.dcedge("undrain", "prod-a").status == 0


def test_a_change_that_could_not_be_taken_back_does_not_begin(router: tuple[Bed, SmallDisk]) -> None:
    bed, _ = router
    bed.edge.order.write_text(order(_50M="70M"))
    refused = bed.edge.dcedge("apply", "--confirm", "5m")
    assert (refused.status, "nothing was changed" in refused.stderr) == (1, True), refused.said
    assert rate(bed.edge) == 60
    bed.edge.order.write_text(order(_50M="60M"))


def test_what_was_owed_is_written_when_there_is_room(router: tuple[Bed, SmallDisk]) -> None:
    bed, disk = router
    disk.mend()
    until("all to be written", lambda: notes(bed.edge), accept=lambda said: "cannot be written" not in said)
    assert (bed.edge.state_dir / "last-good-order.yaml").read_text() == bed.edge.order.read_text()


def test_read_only_from_the_boot_on_all_comes_up_and_every_change_is_done(router: tuple[Bed, SmallDisk]) -> None:
    bed, disk = router
    edge = bed.edge
    edge.stop_daemon()
    assert edge.dcedge("purge", "--yes").status == 0
    assert "eth1.101@" not in links(edge)
    disk.make_read_only()
    edge.start_daemon()
    bed.wait_up(*VIRTUAL_INTERFACES)
    assert "cannot be written (Read-only file system): a restart would lose" in notes(edge)
    edge.namespace.ip("link delete dev eth1.101")
    until("the link", lambda: links(edge), accept=lambda said: "eth1.101@" in said)
    edge.order.write_text(order(_50M="50M"))
    for words in (("apply",), ("reload",), ("drain", "prod-a", "--wait", "20s"), ("undrain", "prod-a")):
        done = edge.dcedge(*words)
        assert done.status == 0, done.said
    assert rate(edge) == 50
    edge.order.write_text(order(_50M="60M"))
    assert edge.dcedge("apply").status == 0
    disk.mend()
    until("all to be written", lambda: notes(edge), accept=lambda said: "cannot be written" not in said)
    assert (edge.state_dir / "last-good-order.yaml").read_text() == edge.order.read_text()
    bed.wait_up(*VIRTUAL_INTERFACES)


@pytest.mark.parametrize("trouble", ["full", "read-only"])
def test_an_unconfirmed_change_is_rolled_back_whatever_the_disk_takes(
    router: tuple[Bed, SmallDisk], trouble: str
) -> None:
    bed, disk = router
    edge = bed.edge
    edge.order.write_text(order(_50M="50M"))
    assert edge.dcedge("apply", "--confirm", "15s").status == 0
    assert rate(edge) == 50
    if trouble == "full":
        disk.fill()
    else:
        disk.make_read_only()
    until("the rate before", lambda: rate(edge), accept=lambda found: found == 60)
    assert edge.dcedge("confirm").status == 1
    edge.kill_daemon()
    edge.start_daemon()
    until("the first pass", lambda: edge.status()["pass"]["finished_at"])
    assert rate(edge) == 60, "a restart takes the order up again that nobody confirmed"
    disk.mend()
    pending = edge.state_dir / "pending.json"
    until("all to be written", pending.exists, accept=lambda there: not there)
    edge.kill_daemon()
    edge.start_daemon()
    until("the first pass", lambda: edge.status()["pass"]["finished_at"])
    assert rate(edge) == 60
    bed.wait_up(*VIRTUAL_INTERFACES)


def test_a_daemon_whose_state_folder_goes_is_still_the_one_writer(router: tuple[Bed, SmallDisk]) -> None:
    bed, disk = router
    disk.unmount()
    bed.edge.state_dir.rmdir()
    refused = bed.edge.dcedge("purge", "--yes")
    assert (refused.status, "another dcedge is changing this router" in refused.stderr) == (1, True), refused.said
    assert "eth1.101@" in links(bed.edge)
    bed.edge.namespace.ip("link delete dev eth1.101")
    until("the link", lambda: links(bed.edge), accept=lambda said: "eth1.101@" in said)


def test_a_disk_that_hangs_holds_up_nothing_but_its_files(router: tuple[Bed, SmallDisk], tmp_path: Path) -> None:
    bed, _ = router
    edge = bed.edge
    edge.stop_daemon()
    with Disk(tmp_path / "image", edge.state_dir) as disk:
        edge.start_daemon()
        bed.wait_up(*VIRTUAL_INTERFACES)
        disk.hang()
        edge.namespace.ip("link delete dev eth1.101")
        until("the link", lambda: links(edge), accept=lambda said: "eth1.101@" in said)
        edge.order.write_text(order(_50M="50M"))
        done = edge.dcedge("apply")
        assert (done.status, rate(edge)) == (0, 50), done.said
        assert "the disk does not answer): a restart would lose" in done.stdout
        assert edge.dcedge("drain", "prod-a", "--wait", "20s").status == 0
        assert edge.dcedge("undrain", "prod-a").status == 0
        bed.wait_up(*VIRTUAL_INTERFACES)
        disk.mend()
        until("all to be written", lambda: notes(edge), accept=lambda said: "cannot be written" not in said)
        assert (edge.state_dir / "last-good-order.yaml").read_text() == edge.order.read_text()
        edge.stop_daemon()
