"""`make soak MINUTES=n`: everything that happens to a router, at random, for as long as told; then nothing may be left.

The real daemon on the standard testbed: its order changes, its objects are broken by hand, others set about the router
(tests/soak/others.py), FRR is killed, fibres are cut, the disk is full, it is scraped all the while. Afterwards the
plan is empty, no descriptor has leaked, memory is flat, and what belongs to others is as it was. The seed is printed;
SEED=… plays the same again.
"""

from __future__ import annotations

import os
import random
import signal
import statistics
import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import yaml

from tests.lab.bed import ORDER, ORDERED_BPS, Bed
from tests.lab.edge import written
from tests.lab.netns import leave_on_signals
from tests.lab.small_disk import SmallDisk
from tests.lab.wait import until
from tests.soak.others import actions as others_actions
from tests.soak.others import undo_all

RATES = ("2M", "20M", "50M", "100M", "333M")
VRF_SHARE = 0.5  # of the orders
LINKS = {"prod-a": "eth1.101", "prod-b": "eth2.102", "dev-a": "eth2.201"}
LAST_ACTIONS = 30  # so many are told with a failure
WARM_UP_ACTIONS = 20  # until then what is loaded late is loaded
GROWTH_BYTES = 8 << 20  # what the median of the last quarter may be above that of the second
FOREIGN = (
    "link add name foreign0 type dummy",
    "address add 198.51.100.1/24 dev foreign0",
    "link set dev foreign0 up",
    "route add 203.0.113.0/24 via 198.51.100.2",
    "link add link eth1 name eth1.4000 type vlan id 4000",
    "rule add from 198.51.100.0/24 table 77",
)
FOREIGN_FRR = """\
router bgp 65010
 neighbor 192.0.2.77 remote-as 65077
 neighbor 192.0.2.77 description by hand
exit
ip prefix-list by-hand seq 5 permit 10.0.0.0/8
"""


class Soak:
    """One run."""

    def __init__(self, bed: Bed, chance: random.Random, disk: SmallDisk) -> None:
        self.bed = bed
        self.edge = bed.edge
        self.disk = disk
        self.chance = chance
        self.done: Counter[str] = Counter()
        self.last: deque[str] = deque(maxlen=LAST_ACTIONS)
        self.resident: list[int] = []
        self.actions: dict[str, Callable[[], None]] = {
            "another order": self.change_order,
            "a bad order": self.break_order,
            "an apply": self.apply,
            "a link deleted": self.delete_link,
            "a shaper deleted": self.delete_shaper,
            "an address deleted": self.delete_address,
            "a link down": self.link_down,
            "one of FRR's daemons killed": self.kill_daemon,
            "FRR restarted": self.restart_frr,
            "a fibre cut": self.flap,
            "a drain": self.drain,
            "scrapes": self.scrape,
            "a full disk": self.fill_disk,
            **others_actions(bed.edge, chance),
        }

    def run(self, minutes: float) -> None:
        """Do one thing after the other until the time is over."""
        end = time.monotonic() + 60 * minutes
        while time.monotonic() < end:
            name = self.chance.choice(sorted(self.actions))
            began = time.strftime("%H:%M:%S")
            self.actions[name]()
            self.done[name] += 1
            self.last.append(f"{began} {name}")
            self.scrape()
            time.sleep(self.chance.uniform(0, 1))
            if sum(self.done.values()) > WARM_UP_ACTIONS:
                self.resident.append(self.process()["resident_bytes"])

    def process(self) -> dict[str, int]:
        """What the daemon takes, as it says itself: RSS and open descriptors."""
        text = self.edge.namespace.run("curl", "-s", "-m", "20", "http://127.0.0.1:9478/metrics").stdout
        found = {}
        for line in text.splitlines():
            for metric, name in (("process_resident_memory_bytes", "resident_bytes"), ("process_open_fds", "open_fds")):
                if line.startswith(f"{metric} "):
                    found[name] = int(float(line.split()[1]))
        return found

    def change_order(self) -> None:
        """Another one, which is refused where it takes away more at once than a reload may."""
        data: dict[str, Any] = yaml.safe_load(ORDER.read_text())
        for vi in data["virtual_interfaces"].values():
            vi["bandwidth"] = self.chance.choice(RATES)
        for number in range(self.chance.randrange(4)):
            data["virtual_interfaces"][f"more-{number}"] = {
                "connection": self.chance.choice(("fra-1", "fra-2")), "virtual_gateway": "dev", "vlan": 1000 + number,
                "bandwidth": "5M", "static": [f"10.30.{100 + number}.0/24"],
                "addresses": [{"customer": f"10.254.{number}.2/30", "cloud": f"10.254.{number}.1"}],
            }  # fmt: skip
        data["virtual_gateways"]["dev"]["accept"] = [{"prefix": "10.30.0.0/16", "le": 24}]
        if self.chance.random() < VRF_SHARE:
            data["virtual_gateways"]["lab"] = {"vpc": "vpc-lab", "asn": 64514, "accept": "any", "vrf": "red"}
            data["virtual_interfaces"]["in-red"] = {
                "connection": "fra-1", "virtual_gateway": "lab", "vlan": 1100, "bandwidth": "5M",
                "static": ["10.40.0.0/16"], "addresses": [{"customer": "10.254.100.2/30", "cloud": "10.254.100.1"}],
            }  # fmt: skip
        self.edge.order.write_text(written(data))
        self.edge.reload_daemon()

    def break_order(self) -> None:
        self.edge.order.write_text(ORDER.read_text().replace("vlan: 101", "vlan: 4095"))
        self.edge.reload_daemon()

    def apply(self) -> None:
        self.edge.order.write_text(ORDER.read_text())
        self.edge.apply_whatever_goes()

    def delete_link(self) -> None:
        self._by_hand("ip", "link", "delete", "dev", self._link())

    def delete_shaper(self) -> None:
        self._by_hand("tc", "qdisc", "delete", "dev", self._link(), "root")

    def delete_address(self) -> None:
        self._by_hand("ip", "address", "flush", "dev", self._link())

    def link_down(self) -> None:
        self._by_hand("ip", "link", "set", "dev", self._link(), "down")

    def kill_daemon(self) -> None:
        daemon = self.chance.choice(("bgpd", "bfdd"))  # where zebra dies watchfrr(8) restarts them all
        self.edge.frr.stop_daemon(daemon, signal.SIGKILL)
        self.edge.frr.start_daemon(daemon)
        self.edge.frr.read_saved()

    def restart_frr(self) -> None:
        self.edge.frr.kill()
        time.sleep(self.chance.uniform(0, 2))
        self.edge.frr.boot()

    def flap(self) -> None:
        cut = self.bed.fibres[self.chance.choice(sorted(self.bed.fibres))]
        cut.cut()
        time.sleep(self.chance.uniform(0, 2))
        cut.splice()

    def drain(self) -> None:
        self.edge.dcedge("drain", "prod-a", "--force", "--wait", "0s")
        self.edge.dcedge("undrain", "prod-a")

    def fill_disk(self) -> None:
        """Or mend it, where it is full."""
        if self.disk.is_well:
            self.disk.fill()
        else:
            self.disk.mend()

    def scrape(self) -> None:
        for path in ("metrics", "", "healthz"):
            self.edge.namespace.run(
                "curl", "-s", "-m", "20", "-o", "/dev/null", f"http://127.0.0.1:9478/{path}", check=False
            )
        self.edge.status()

    def _link(self) -> str:
        return self.chance.choice(sorted(LINKS.values()))

    def _by_hand(self, *words: str) -> None:
        self.edge.namespace.run(*words, check=False)  # what is broken already cannot be broken again


def foreign_state(bed: Bed) -> dict[str, str]:
    """What belongs to others, as text."""
    run = bed.edge.namespace.run
    frr = bed.edge.frr.vtysh("show running-config")
    return {
        "links": "".join(run("ip", "-o", "address", "show", "dev", name).stdout for name in ("foreign0", "lan0")),
        "vlan": run("ip", "-d", "-o", "link", "show", "dev", "eth1.4000").stdout.split("link/")[1],
        "routes": run("ip", "route", "show", "203.0.113.0/24").stdout,
        # The kernel's own rule for VRFs comes with the first one, and stays.
        "rules": "\n".join(line for line in run("ip", "rule").stdout.splitlines() if "l3mdev" not in line),
        "FRR": "\n".join(line for line in frr.splitlines() if "192.0.2.77" in line or "by-hand" in line),
    }


def main(minutes: float) -> int:
    """Run; returns the exit status."""
    leave_on_signals()
    seed = int(os.environ.get("SEED") or random.randrange(1 << 30))
    print(f"soak for {minutes:g} minutes, SEED={seed}", flush=True)
    with Bed() as bed:
        edge = bed.edge
        soak = None
        disk = SmallDisk(edge.state_dir)
        bed.work.at_end(disk.unmount)
        try:
            edge.namespace.ip(*FOREIGN)
            edge.frr.load(FOREIGN_FRR)
            edge.frr.vtysh("write")
            edge.start_daemon(forked=False)
            bed.wait_up(*ORDERED_BPS)
            before = foreign_state(bed)
            soak = Soak(bed, random.Random(seed), disk)
            soak.scrape()
            descriptors = soak.process()["open_fds"]
            soak.run(minutes)
            disk.mend()
            undo_all(edge)
            edge.order.write_text(ORDER.read_text())
            edge.apply_whatever_goes()
            bed.wait_up(*ORDERED_BPS)
            until("the plan to be empty", lambda: edge.dcedge("plan"), 60, accept=lambda plan: plan.status == 0)
            until("no more descriptors", soak.process, 30, accept=lambda now: now["open_fds"] <= descriptors)
            assert foreign_state(bed) == before, (before, foreign_state(bed))
            quarter = len(soak.resident) // 4
            grown = 0.0
            if quarter:
                early, late = soak.resident[quarter : 2 * quarter], soak.resident[-quarter:]
                grown = statistics.median(late) - statistics.median(early)
            assert grown < GROWTH_BYTES, f"memory grew by {grown / 1e6:.1f} MB"
        except AssertionError as error:
            told = "\n".join(soak.last) if soak is not None else ""
            print(f"{error}\n--- done last\n{told}\n{bed.report()}", file=sys.stderr)
            return 1
        for name, count in soak.done.most_common():
            print(f"{count:5}  {name}")
        now = soak.process()
        print(
            f"plan empty, {descriptors} descriptors before and {now['open_fds']} after, memory {grown / 1e6:+.1f} MB"
            f" to {now['resident_bytes'] / 1e6:.0f} MB, nothing of others' changed"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 20.0))
