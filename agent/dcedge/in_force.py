"""Which order is in force: the file's, the last good one where that is bad or was rejected, or one on probation."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from dcedge.errors import OrderInvalidError
from dcedge.memory import building
from dcedge.order.finding import Finding
from dcedge.order.load import Loaded, load_order, parse_order
from dcedge.settings import Settings
from dcedge.store import Store

log = logging.getLogger(__name__)


@dataclass(slots=True)
class OrderInForce:
    """The order that the daemon keeps the router at. `problems` say why the file as it is was refused, where it was."""

    settings: Settings
    store: Store
    loaded: Loaded | None = None
    problems: tuple[str, ...] = ()

    def start(self) -> Loaded:
        """Choose at the daemon's start. Raises OrderInvalidError where there is no good order at all."""
        pending = self.store.pending()
        if pending is not None:
            # Until its deadline it stays; past it, the daemon rolls it back as its first deed.
            self.loaded = parse_order(pending.order, "the order that waits for its confirmation")
        else:
            try:
                self.loaded = self._from_file()
            except OrderInvalidError as error:
                text = self.store.last_good()
                if text is None:
                    raise
                self.refuse(error)
                self.loaded = parse_order(text, str(self.store.last_good_order))
        for warning in self.loaded.warnings:
            log.warning("%s", warning)
        return self.loaded

    def read_file(self) -> Loaded:
        """The file as it is now. Raises OrderInvalidError where it is bad, or was rolled back."""
        return self._from_file()

    def read_text(self, text: str) -> Loaded:
        """An order that somebody hands over. Raises OrderInvalidError."""
        with building():
            return parse_order(text, str(self.settings.order), self.loaded.order if self.loaded else None)

    def take(self, loaded: Loaded) -> None:
        """From now on this one is in force."""
        self.loaded = loaded
        self.problems = ()

    def refuse(self, error: OrderInvalidError) -> None:
        """The one in force stays; what is wrong with the other is kept for whoever looks."""
        self.problems = tuple(str(error).splitlines())
        log.error("the order is refused, the one in force stays:\n%s", error)

    def _from_file(self) -> Loaded:
        with building():
            loaded = load_order(self.settings.order, self.loaded.order if self.loaded else None)
        if loaded.digest in self.store.runtime().rejected:
            message = "this order was rolled back; change it, or ask for it again with `dcedge apply`"
            raise OrderInvalidError([Finding(str(self.settings.order), 0, 0, "", message)])
        return loaded
