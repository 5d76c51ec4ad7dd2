"""Which order is in force: the file's, the last good one where that is bad or was rejected, or one on probation."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from dcedge.credentials import Secret
from dcedge.errors import OrderInvalidError
from dcedge.memory import building
from dcedge.order.finding import Finding
from dcedge.order.load import Loaded, load_order, parse_order
from dcedge.order.model import Credential
from dcedge.settings import Settings
from dcedge.store import Pending, Runtime, Store

log = logging.getLogger(__name__)


@dataclass(slots=True)
class OrderInForce:
    """The order that the daemon keeps the router at, and what is true of it now.

    `problems` say why the file as it is was refused, where it was; `secrets` go before those on disk.
    """

    settings: Settings
    store: Store
    loaded: Loaded | None = None
    problems: tuple[str, ...] = ()
    secrets: Mapping[Credential, Secret] = field(default_factory=dict, repr=False)

    def start(self) -> Loaded:
        """Choose at the daemon's start. Raises OrderInvalidError where there is no good order at all."""
        pending = self.store.pending()
        try:
            self.loaded = self._on_probation(pending) if pending is not None else self._at_start()
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

    def take(self, loaded: Loaded, secrets: Mapping[Credential, Secret] | None = None) -> None:
        """From now on this one is in force."""
        self.loaded = loaded
        self.problems = ()
        self.secrets = secrets or {}

    def refuse(self, error: OrderInvalidError) -> None:
        """The one in force stays; what is wrong with the other is kept for whoever looks."""
        self.problems = tuple(str(error).splitlines())
        log.error("the order is refused, the one in force stays:\n%s", error)

    @property
    def runtime(self) -> Runtime:
        """What is true now and not ordered."""
        return self.store.runtime()

    def note(self, **changes: frozenset[str]) -> None:
        """Change that, and keep it over a restart."""
        self.store.save_runtime(replace(self.runtime, **changes))

    def _on_probation(self, pending: Pending) -> Loaded:
        """The order that waits for its confirmation; past its deadline the one before, which comes first of all."""
        if pending.seconds_left or pending.previous is None:
            return parse_order(pending.order, "the order that waits for its confirmation")
        return parse_order(pending.previous, "the order before the one that nobody confirmed")

    def _at_start(self) -> Loaded:
        if self.store.pending_lost and self.store.last_good() is not None:
            message = "an order waited for its confirmation, and which one is lost: `dcedge reload` takes this one"
            raise OrderInvalidError([Finding(str(self.settings.order), 0, 0, "", message)])
        return self._from_file()

    def _from_file(self) -> Loaded:
        with building():
            loaded = load_order(self.settings.order, self.loaded.order if self.loaded else None)
        if loaded.digest in self.store.runtime().rejected:
            message = "this order was rolled back; change it, or ask for it again with `dcedge apply`"
            raise OrderInvalidError([Finding(str(self.settings.order), 0, 0, "", message)])
        return loaded
