"""What others do on a router that they share with dcedge; `undo_all` undoes what of it may stay."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from tests.lab.edge import Edge
from tests.lab.wait import until

PORTS = ("eth1", "eth2")
# What somebody else may leave as it is: the words that do it, and those that undo it.
CHANGES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "strict about sources": (
        ("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=1"),
        ("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0"),
    ),
    "somebody's VLAN on our port": (
        ("ip", "link", "add", "link", "eth1", "name", "eth1.4001", "type", "vlan", "id", "4001"),
        ("ip", "link", "del", "eth1.4001"),
    ),
    "somebody's name for our port": (
        ("ip", "link", "property", "add", "dev", "eth2", "altname", "wan0"),
        ("ip", "link", "property", "del", "dev", "eth2", "altname", "wan0"),
    ),
    "somebody's description of our port": (
        ("ip", "link", "set", "dev", "eth1", "alias", "carrier-4711"),
        ("ip", "link", "set", "dev", "eth1", "alias", ""),
    ),
    "somebody's route to an accepted prefix": (
        ("ip", "route", "replace", "10.20.0.0/16", "via", "192.0.2.10", "proto", "static"),
        ("ip", "route", "del", "10.20.0.0/16", "via", "192.0.2.10", "proto", "static"),
    ),
}


def actions(edge: Edge, chance: random.Random) -> dict[str, Callable[[], None]]:
    """What they do, one at random a call, by what a soak calls it."""

    def by_hand(*words: str) -> None:
        edge.namespace.run(*words, check=False)  # what is so already cannot be made so again

    def toggle() -> None:
        by_hand(*chance.choice(CHANGES[chance.choice(sorted(CHANGES))]))

    def stop_forwarding() -> None:
        by_hand("sysctl", "-qw", "net.ipv4.ip_forward=0")

    def delete_rule() -> None:
        by_hand("ip", chance.choice(("-4", "-6")), "rule", "del", "pref", "1000")

    def change_mtu() -> None:
        by_hand("ip", "link", "set", "dev", chance.choice(PORTS), "mtu", chance.choice(("1400", "1600")))

    def rename_port() -> None:
        port = chance.choice(PORTS)
        rename(edge, port, f"{port}x")
        time.sleep(chance.uniform(0, 2))
        rename(edge, f"{port}x", port)

    return {
        "others' work": toggle,
        "forwarding switched off": stop_forwarding,
        "the rule for VRFs deleted": delete_rule,
        "the port's MTU changed": change_mtu,
        "a port renamed for a while": rename_port,
    }


def rename(edge: Edge, before: str, after: str) -> None:
    """Most kernels rename no link that is up, and the daemon may set it up again in between."""
    down, name = f"ip link set dev {before} down", f"ip link set dev {before} name {after}"
    until(
        f"{before} to be renamed",
        lambda: edge.namespace.run("sh", "-c", f"{down} && {name}", check=False).returncode == 0,
    )
    edge.namespace.ip(f"link set dev {after} up")


def undo_all(edge: Edge) -> None:
    """Undo what may stay."""
    for _, undo in CHANGES.values():
        edge.namespace.run(*undo, check=False)
