"""Settings for all links, which the kernel combines with those of one link (ip-sysctl.txt).

What is set for all is others' and stays: where it would stop our traffic, our own links get what wins over it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dcedge.kernel import proc_sys
from dcedge.kernel.link.sysctls import IPV4_CONF, Settings

_FOLDER = "net/ipv4/conf/all"
STRICT, LOOSE = 1, 2  # rp_filter: a packet's source must be reached by its own link, or by any
_ARP_IGNORE_MAX = 2  # above that the kernel does not answer who asks for an address of the link's


@dataclass(frozen=True, slots=True)
class ForAll:
    """The settings for all links that matter to ours."""

    rp_filter: int = 0
    arp_ignore: int = 0

    @classmethod
    def read(cls) -> ForAll:
        """As they are now; those of the kernel's defaults where it does not have them."""
        return cls(*(proc_sys.read(f"{_FOLDER}/{name}") or 0 for name in ("rp_filter", "arp_ignore")))

    def conf4(self) -> Settings:
        """The IPv4 settings of our links.

        Of rp_filter the kernel takes the greater: where all are strict, ours are loose, since traffic may come in by
        one path and leave by another.
        """
        wanted = {"rp_filter": LOOSE} if self.rp_filter == STRICT else {}
        return tuple((name, wanted.get(name, value)) for name, value in IPV4_CONF)

    def stops_at(self, conf4: Settings) -> bool:
        """Whether traffic that comes in by one path and leaves by another stops at a link with these settings."""
        return max(self.rp_filter, dict(conf4).get("rp_filter", 0)) == STRICT

    def warnings(self) -> Iterator[str]:
        """What no setting of our own links wins over."""
        if self.arp_ignore > _ARP_IGNORE_MAX:
            yield (
                f"net.ipv4.conf.all.arp_ignore is {self.arp_ignore}: this router does not answer ARP, so no cloud"
                " reaches it; set it to 2 or less"
            )


NOTHING_SET = ForAll()
