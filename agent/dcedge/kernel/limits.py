"""System limits that thousands of virtual interfaces need: what the order asks of the kernel and of FRR.

The kernel's limits only ever go upwards; a purge puts back what was there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from dcedge.kernel.objects import Sysctl

# The kernel's defaults (arp.c, ndisc.c); an order that they suffice for asks for nothing.
_NEIGHBOURS_DEFAULT = 128
# The neighbour table is one for all network namespaces, so other people's neighbours are in it too. IPv6 adds the
# cloud's link-local address and the multicast groups of the link.
_NEIGHBOURS_OTHERS = 512
_NEIGHBOURS_EACH = {"ipv4": 2, "ipv6": 6}
# A TCP-MD5 key lies in the option memory of the listening socket: 136 bytes (struct tcp_md5sig_key), here with room
# for what an allocation is rounded up to, and 64 KiB for all other options.
_KEY_BYTES, _OPTIONS_BYTES = 192, 64 * 1024
_OPTMEM_DEFAULT = 128 * 1024
# Sockets of a BGP peer: the session, a second one while both ends open, and one that is closing; and what a daemon
# has open for itself.
_DESCRIPTORS_EACH, _DESCRIPTORS_OWN = 2, 100
_OPTION_MEMORY = "net/core/optmem_max"
LIMITS = frozenset(
    {f"net/{family}/neigh/default/gc_thresh{number}" for family in _NEIGHBOURS_EACH for number in (1, 2, 3)}
    | {_OPTION_MEMORY}
)
FRR_DAEMONS_FILE = Path("/etc/frr/daemons")
FRR_DESCRIPTORS_DEFAULT = 1024


def kernel_limits(pairs: int, keys: int) -> Iterator[Sysctl]:
    """The settings that so many address pairs and TCP-MD5 keys need beyond the kernel's defaults.

    gc_thresh1/2/3 (arp(7)): below the first nothing is collected, beyond the third nothing is added. optmem_max
    (socket(7)) bounds the keys of all peers together. Rounded up, so that one more virtual interface changes nothing.
    """
    # Each pair counts for both families: to tell them apart would cost more than the room for the other one.
    for family, each in _NEIGHBOURS_EACH.items():
        needed = each * pairs
        if needed > _NEIGHBOURS_DEFAULT:
            needed = _round_up(needed + _NEIGHBOURS_OTHERS)
            for number, factor in ((1, 1), (2, 2), (3, 4)):
                yield Sysctl(f"net/{family}/neigh/default/gc_thresh{number}", needed * factor, at_least=True)
    memory = _round_up(_OPTIONS_BYTES + keys * _KEY_BYTES)
    if memory > _OPTMEM_DEFAULT:
        yield Sysctl(_OPTION_MEMORY, memory, at_least=True)


def frr_descriptor_problem(
    peers: int, processes: Mapping[str, int], *, proc: Path = Path("/proc"), daemons: Path = FRR_DAEMONS_FILE
) -> str | None:
    """Why FRR cannot hold that many BGP peers, in words; None where it can.

    `processes` are the process IDs of bgpd and zebra by name, as far as they are known: their own limit counts. Else
    what `daemons` will give them at their next start does (MAX_FDS, 1024 where it says nothing).
    """
    needed = peers * _DESCRIPTORS_EACH + _DESCRIPTORS_OWN
    limit = _running_limit(processes.get("bgpd"), proc)
    where = "bgpd runs with"
    if limit is None:
        limit, where = _configured_limit(daemons), f"{daemons} gives FRR"
    if limit >= needed:
        return None
    return (
        f"{where} {limit} file descriptors, too few for {peers} BGP peers:"
        f" set MAX_FDS={_round_up(needed)} in {daemons} and restart FRR"
    )


def _running_limit(process: int | None, proc: Path) -> int | None:
    """The soft limit of open files (proc(5)); None where the process cannot be looked at."""
    if process is None:
        return None
    try:
        lines = (proc / str(process) / "limits").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("Max open files"):
            word = line.removeprefix("Max open files").split()[0]
            return int(word) if word.isdigit() else _UNLIMITED
    return None


_UNLIMITED = 1 << 62


def _configured_limit(daemons: Path) -> int:
    try:
        lines = daemons.read_text().splitlines()
    except OSError:
        return FRR_DESCRIPTORS_DEFAULT
    values = [line.partition("=")[2].strip().strip("\"'") for line in lines if line.strip().startswith("MAX_FDS=")]
    return int(values[-1]) if values and values[-1].isdigit() else FRR_DESCRIPTORS_DEFAULT


def _round_up(number: int) -> int:
    return 1 << (number - 1).bit_length()
