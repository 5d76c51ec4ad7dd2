"""System limits that thousands of virtual interfaces need: what the order asks of the kernel.

They only ever go upwards; a purge puts back what was there.
"""

from __future__ import annotations

from collections.abc import Iterator

from dcedge.kernel.sysctl.resource import Sysctl

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
_OPTION_MEMORY = "net/core/optmem_max"
LIMITS = frozenset(
    {f"net/{family}/neigh/default/gc_thresh{number}" for family in _NEIGHBOURS_EACH for number in (1, 2, 3)}
    | {_OPTION_MEMORY}
)


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


def _round_up(number: int) -> int:
    return 1 << (number - 1).bit_length()
