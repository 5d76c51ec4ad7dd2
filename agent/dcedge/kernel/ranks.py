"""In which order the kernel's objects are made, and what marks them as ours."""

from __future__ import annotations

ROUTE_PROTOCOL = 0xDC  # what we own among routes and addresses; free in rt_protos
DELETION_GROUP = 0xDCED  # links that are to go are put into it, and it is removed at once
RANK_SYSCTL, RANK_VRF, RANK_MEMBER, RANK_BOND, RANK_PORT, RANK_LINK, RANK_UNREACHABLE = 0, 4, 5, 6, 10, 30, 38
RANK_ADDRESS, RANK_ROUTE, RANK_SHAPER, RANK_INGRESS = 40, 45, 50, 55
RANK_ON_LINKS = RANK_UNREACHABLE  # from here on zebra has to know the links first
