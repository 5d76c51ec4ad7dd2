"""Secrets hidden by what they are: in any text that is about to leave, whatever words stand before them.

Words before a secret (`password …`) are no help where a daemon echoes half a line of ours. So every secret is known
here from the moment it is read (`hold`), and what is told goes through `hide`.

Half a line holds a piece of a secret: its beginning, which stands behind the blank after `password`; its end, behind
which the line ends; or what is left where both ends were cut off. A piece is hidden where it is long enough for its
place: the secret's beginning at a word's beginning and its end at a word's end from 4 characters on, any piece that is
a word of its own from 5 on, any piece anywhere from 8 on. A whole secret is hidden anywhere, one of less than 4
characters only as a word of its own, since it would take half of the text along.

The text is not searched for one secret after the other. Each four characters of it are looked up among those that
secrets have, and where hit follows upon hit there is a piece. So a line costs the same whether 10 secrets are known or
10,000; what is hidden too much, where pieces of several secrets overlap, is no loss.
"""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from urllib.parse import quote
from weakref import WeakValueDictionary

MASK = "***"
PAST_MAX = 8192  # secrets that nobody holds any more and that are still hidden: logs and daemons tell of them later

_LOOKED_UP = 4  # characters, the shortest piece that is hidden
_OWN_WORD = 5
_ANYWHERE = 8

_HEXADECIMAL = re.compile("%[0-9A-F]{2}")


class Held:
    """A secret's value, hidden at least for as long as somebody holds this."""

    __slots__ = ("__weakref__", "value")

    def __init__(self, value: str) -> None:
        self.value = value


class SecretValues:
    """The secrets that are held, and those that were held lately: `past_max` of them at most, at least half as many."""

    def __init__(self, past_max: int = PAST_MAX) -> None:
        self._past_max = past_max
        self._lock = threading.Lock()
        self._held: WeakValueDictionary[str, Held] = WeakValueDictionary()
        self._known: dict[str, None] = {}  # the one that was last read longest ago first
        # Of all that are known, how many have it:
        self._fours: Counter[str] = Counter()  # these four characters somewhere,
        self._beginnings: Counter[str] = Counter()  # as the first four,
        self._ends: Counter[str] = Counter()  # as the last four;
        self._short: Counter[str] = Counter()  # as the whole, which is too short to be hidden as a piece anywhere,
        self._tiny: Counter[str] = Counter()  # or even to be looked up

    def hold(self, value: str) -> Held:
        """Hide this value from now on; the same object for the same value."""
        with self._lock:
            held = self._held.get(value)
            if held is None:
                self._held[value] = held = Held(value)
            self._learn(value)
            return held

    def hide(self, text: str) -> str:
        """The text with `***` in the place of every secret, and of every piece of one that tells something."""
        if not self._known:
            return text
        told: list[str] = []
        end = 0
        for start, stop in sorted((*self._pieces(text), *self._tiny_words(text))):
            if start > end or not told:
                told += [text[end:start], MASK]
            end = max(end, stop)
        return "".join((*told, text[end:])) if told else text

    def _learn(self, value: str) -> None:
        if value in self._known:
            del self._known[value]
        else:
            self._count(value, 1)
        self._known[value] = None
        if len(self._known) > len(self._held) + self._past_max:
            past = [known for known in self._known if known not in self._held]
            for known in past[: len(past) - self._past_max // 2]:  # many at once: each time all are gone through
                del self._known[known]
                self._count(known, -1)

    def _count(self, value: str, by: int) -> None:
        for form in _forms(value):
            last = len(form) - _LOOKED_UP
            for at in range(last + 1):
                _add(self._fours, form[at : at + _LOOKED_UP], by)
            if last < 0:
                _add(self._tiny, form, by)
                continue
            _add(self._beginnings, form[:_LOOKED_UP], by)
            _add(self._ends, form[last:], by)
            if len(form) < _ANYWHERE:
                _add(self._short, form, by)

    def _pieces(self, text: str) -> Iterator[tuple[int, int]]:
        """Where in the text pieces begin and end that are to be hidden."""
        fours = self._fours
        start = stop = 0
        for at in [at for at in range(len(text) - _LOOKED_UP + 1) if text[at : at + _LOOKED_UP] in fours]:
            if at > stop - _LOOKED_UP + 1:
                yield from self._telling(text, start, stop)
                start = at
            stop = at + _LOOKED_UP
        yield from self._telling(text, start, stop)

    def _telling(self, text: str, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """What of a stretch, of which each four characters are some secret's, is to be hidden."""
        if stop - start >= _ANYWHERE or (
            stop - start >= _OWN_WORD and _begins_word(text, start) and _ends_word(text, stop)
        ):
            yield start, stop
            return
        for at in range(start, stop - _LOOKED_UP + 1):
            four = text[at : at + _LOOKED_UP]
            if four in self._beginnings and _begins_word(text, at):
                yield at, stop
            if four in self._ends and _ends_word(text, at + _LOOKED_UP):
                yield start, at + _LOOKED_UP
            for end in range(at + _LOOKED_UP, stop + 1):
                if text[at:end] in self._short:
                    yield at, end

    def _tiny_words(self, text: str) -> Iterator[tuple[int, int]]:
        for form in tuple(self._tiny):
            at = text.find(form)
            while at >= 0:
                if _begins_word(text, at) and _ends_word(text, at + len(form)):
                    yield at, at + len(form)
                at = text.find(form, at + 1)


def _forms(value: str) -> set[str]:
    """The value as it is, and as whoever escapes it writes it, where that is something else."""
    if not value:
        return set()
    in_json = json.dumps(value, ensure_ascii=False)[1:-1]  # FRR's texts and Prometheus' labels have it so, too
    in_html = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    in_url = quote(value, safe="", errors="replace")
    return {
        value,
        in_json,
        in_json.replace("/", "\\/"),  # json-c, which FRR prints JSON with
        value.replace("\\", "\\\\").replace("'", "\\'"),  # Python
        value.replace("'", "''"),  # YAML
        in_html,
        in_html.replace("'", "&#x27;"),
        in_html.replace("'", "&#39;"),
        in_url,
        in_url.replace("%2F", "/"),
        _HEXADECIMAL.sub(lambda found: found[0].lower(), in_url),
    }


def _add(counts: Counter[str], what: str, by: int) -> None:
    if count := counts[what] + by:
        counts[what] = count
    else:
        del counts[what]


def _begins_word(text: str, at: int) -> bool:
    return at == 0 or not text[at - 1].isalnum()


def _ends_word(text: str, at: int) -> bool:
    return at == len(text) or not text[at].isalnum()


_known = SecretValues()


def hold(value: str) -> Held:
    """Hide a secret from now on, wherever this process tells something, for as long as the result is held."""
    return _known.hold(value)


def hide(text: str) -> str:
    """The text without the secrets that this process knows."""
    return _known.hide(text)
