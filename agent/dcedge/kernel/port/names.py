"""The ports that an order has by an alternative name (`ip link property add dev NAME altname OTHER`), by their own."""

from __future__ import annotations

from collections.abc import Container, Iterable

from dcedge.kernel import questions
from dcedge.kernel.link.view import link_name
from dcedge.netlink.socket import RouteSocket


def port_names(sock: RouteSocket, ports: Iterable[str], known: Container[str] = ()) -> dict[str, str]:
    """By the name that is an alternative one, the link's own; `known` are names of links that need no question.

    One whose own name is another port of the order is left out: two connections do not share a port.
    Raises KernelError.
    """
    ports = tuple(ports)
    found: dict[str, str] = {}
    for name in ports:
        if name in known:
            continue
        # The kernel looks for what is asked by alternative name among the links' own names as well.
        own = sock.get(questions.link_by_any_name(name), link_name)
        if own is not None and own != name and own not in ports and own not in found.values():
            found[name] = own
    return found
