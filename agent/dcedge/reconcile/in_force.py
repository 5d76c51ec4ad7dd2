"""Which order is in force: the file's, the last good one where that is bad or was rejected, or one on probation."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from dcedge.order.credentials import Secret, restored_secrets
from dcedge.order.findings import Finding, OrderInvalidError
from dcedge.order.load import Loaded, digest_of, digest_of_file, load_order, parse_order
from dcedge.order.model import Credential
from dcedge.order.removal import objection
from dcedge.reconcile.memory import building
from dcedge.reconcile.state.formats import Pending, Runtime
from dcedge.reconcile.state.store import Store
from dcedge.settings import Settings

log = logging.getLogger(__name__)


def last_good(store: Store, unlike: Loaded | None = None) -> Loaded | None:
    """The last good order; None where there is none, where it cannot be read, and where it is the same as `unlike`."""
    text = store.orders.last_good()
    if text is None or (unlike is not None and unlike.digest == digest_of(text)):
        return None
    try:
        return parse_order(text, str(store.orders.last_good_file), unlike.order if unlike is not None else None)
    except OrderInvalidError as error:
        log.warning("cannot check for a mass removal, as the last good order cannot be read: %s", error)
        return None


def refuse_unmeant(source: str, after: Loaded, before: Loaded | None, allow_removal: int | None = None) -> None:
    """Raise OrderInvalidError where an order is cut, or takes more away than may go by mistake (order/removal.py).

    `before` is the order in force, `allow_removal` how many virtual interfaces somebody said are to go.
    """
    if (message := objection(before, after, allow_removal)) is not None:
        raise _refused(source, message)


def _refused(source: str, message: str) -> OrderInvalidError:
    return OrderInvalidError([Finding(source, 0, 0, "", message)])


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
    file_differs: bool = False  # from the order in force, when it was last looked at
    _file_seen: tuple[tuple[int, int, int] | None, str | None] = (None, None)  # which contents, and their digest

    def start(self) -> Loaded:
        """Choose at the daemon's start. Raises OrderInvalidError where there is no good order at all."""
        pending = self.store.pending_order.get()
        try:
            self.loaded = self._on_probation(pending) if pending is not None else self._at_start()
        except OrderInvalidError as error:
            text = self.store.orders.last_good()
            if text is None:
                raise
            self.refuse(error)
            self.loaded = parse_order(text, str(self.store.orders.last_good_file))
        for warning in self.loaded.warnings:
            log.warning("%s", warning)
        return self.loaded

    def read_file(self) -> Loaded:
        """The file as it is now. Raises OrderInvalidError where it is bad, was rolled back, or takes too much away."""
        loaded = self._from_file()
        refuse_unmeant(str(self.settings.order), loaded, self.loaded)
        return loaded

    def read_text(self, text: str, allow_removal: int | None = None) -> Loaded:
        """An order that somebody hands over, who may allow it to take so many virtual interfaces away.

        Raises OrderInvalidError where it is bad, or takes away what nobody said is to go.
        """
        loaded = self.read_back(text)
        refuse_unmeant(str(self.settings.order), loaded, self.loaded, allow_removal)
        return loaded

    def read_back(self, text: str) -> Loaded:
        """An order to go back to, whatever that takes away. Raises OrderInvalidError."""
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
        log.error("the order is refused, the order in force stays:\n%s", error)

    def look_at_file(self) -> None:
        """See whether the file still says what is in force; who is to change that says `reload` or `apply`."""
        try:
            there = self.settings.order.stat()
            seen = there.st_mtime_ns, there.st_ino, there.st_size
        except OSError:
            seen = None
        if seen != self._file_seen[0]:  # thousands of virtual interfaces are a megabyte
            self._file_seen = seen, digest_of_file(self.settings.order)
        self.file_differs = self.loaded is not None and self._file_seen[1] != self.loaded.digest

    @property
    def runtime(self) -> Runtime:
        """What is true now and not ordered."""
        return self.store.runtime()

    def note(self, **changes: frozenset[str]) -> None:
        """Change that, and keep it over a restart."""
        self.store.change_runtime(**changes)

    def _on_probation(self, pending: Pending) -> Loaded:
        """The order that waits for its confirmation; past its deadline the one before, which comes first of all."""
        if pending.seconds_left:
            return parse_order(pending.order, "the order that waits for its confirmation")
        if pending.previous is None:
            raise _refused(str(self.settings.order), "the order was not confirmed, and there is no previous order")
        self.secrets = restored_secrets(pending.secrets)
        return parse_order(pending.previous, "the order before the unconfirmed one")

    def _at_start(self) -> Loaded:
        if (good := self.store.orders.last_good()) is not None:
            self._refuse_doubtful(good)
        loaded = self._from_file()
        refuse_unmeant(str(self.settings.order), loaded, last_good(self.store, unlike=loaded))
        return loaded

    def _refuse_doubtful(self, good: str) -> None:
        """Raise OrderInvalidError where the file may be an order that nobody confirmed, or that was rolled back."""
        digest = digest_of_file(self.settings.order)
        differs = digest is not None and digest != digest_of(good)
        if self.store.pending_order.lost:
            message = "an order waited for confirmation, but its record is lost: `dcedge apply` accepts this one"
        elif self.store.runtime_lost and differs:
            message = "which orders were rolled back is not known any more: `dcedge apply` accepts this one"
        else:
            return
        if digest is not None and differs:
            self.note(rejected=self.runtime.rejected | {digest})  # the next start is to know it, too
        raise _refused(str(self.settings.order), message)

    def _from_file(self) -> Loaded:
        with building():
            loaded = load_order(self.settings.order, self.loaded.order if self.loaded else None)
        if loaded.digest in self.store.runtime().rejected:
            message = "this order was rolled back; change it, or ask for it again with `dcedge apply`"
            raise _refused(str(self.settings.order), message)
        return loaded
