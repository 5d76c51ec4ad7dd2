"""Which card has a name: a kernel upgrade, or another slot, gives it to another one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dcedge.kernel import questions
from dcedge.netlink.descriptions import link_message
from dcedge.netlink.reader import Reader
from dcedge.netlink.socket import RouteSocket

_LINK = Reader(link_message, "index", "IFLA_PERM_ADDRESS")


@dataclass(frozen=True, slots=True)
class AnotherCard:
    """A port whose name another card has than when it was ordered."""

    port: str
    ordered: str
    present: str

    @property
    def stand_in(self) -> str:
        """What stands for the port, so that nothing is done on the card that is there: no link is called so."""
        return f"{self.port}-is-another-card"

    def __str__(self) -> str:
        return (
            f"port {self.port} was the card {self.ordered} when it was ordered, and is {self.present} now: nothing is"
            " done on it until `dcedge apply`, or until the port is ordered by its card ({mac: …})"
        )


@dataclass(frozen=True, slots=True)
class Cards:
    """The cards of an order's ports, by the names that it has for them: those that are as ordered, and the others."""

    as_ordered: Mapping[str, str] = field(default_factory=dict)
    others: tuple[AnotherCard, ...] = ()


NO_CARDS = Cards()


class PortCards:
    """Asks for permanent hardware addresses; what a link is does not change, so each is asked for once."""

    def __init__(self, sock: RouteSocket) -> None:
        self._sock = sock
        self._by_index: dict[int, str] = {}

    def compare(self, ports: Mapping[str, str], indices: Mapping[str, int], ordered: Mapping[str, str]) -> Cards:
        """The cards of ports (own names, by those of the order) against those that they had when they were ordered.

        `indices` are of links, as far as they are known. Raises KernelError.
        """
        as_ordered, others = {}, []
        for name, own in ports.items():
            card = self._card(own, indices.get(own)) if ":" not in name else ""
            if card and ordered.get(name, card) != card:
                others.append(AnotherCard(name, ordered[name], card))
            elif card:
                as_ordered[name] = card
        return Cards(as_ordered, tuple(others))

    def _card(self, name: str, index: int | None) -> str:
        """Its permanent address; empty where a link has none, or there is none."""
        if index not in self._by_index:
            found = self._sock.get(questions.link_by_any_name(name), _index_and_card)
            if found is None:
                return ""
            index, card = found
            self._by_index[index] = card
        return self._by_index[index]


def _index_and_card(data: memoryview, start: int, end: int) -> tuple[int, str]:
    said = _LINK.read(data, start, end)
    return said["index"], bytes(said.get("IFLA_PERM_ADDRESS", b"")).hex(":")
