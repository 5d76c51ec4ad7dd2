"""From the order's text to a checked Order: YAML read as a stream of events, everything wrong said with its place.

The text is walked entry by entry, so that no tree of the whole file ever exists; places in the file are found by
a second walk, and only when there is something to say.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import sys
import unicodedata
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from dcedge.order import findings as found
from dcedge.order.checks import check
from dcedge.order.findings import Finding, OrderInvalidError, Problem, path_text
from dcedge.order.model import Order
from dcedge.order.validate import SECTIONS, Draft, TooManyProblemsError, Tree
from dcedge.units import shown

MAX_BYTES = 8 * 1024 * 1024  # 4,000 virtual interfaces take 2 MB
MAX_VALUES = 500_000  # 4,000 virtual interfaces have 130,000
MAX_DEPTH = 32  # a good order has 7
_TOO_DEEP = f"is nested deeper than {MAX_DEPTH} levels; an order never needs that"
_MAX_INT_DIGITS = 18

# What YAML 1.2 (section 5.1) lets stand in a file.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_INT = re.compile(r"[-+]?[0-9]+\Z")
_CONSTANTS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


@dataclass(frozen=True, slots=True)
class Loaded:
    """A checked order with what it was read from."""

    order: Order
    warnings: tuple[Finding, ...]
    text: str  # what it was read from, without a byte order mark
    digest: str  # SHA-256 of `text`, in hexadecimal
    ended: bool  # with YAML's document end marker, `...`: whoever wrote it says that this is all


def load_order(path: Path, previous: Order | None = None) -> Loaded:
    """Read and check the order file; what did not change since `previous` is taken over from it, as the same objects.

    Raises OrderInvalidError with every problem, also where the file cannot be read at all.
    """
    source = str(path)
    try:
        content = _read(path)
    except OSError as error:
        raise _refused(source, f"cannot be read: {os.strerror(error.errno or 0)}") from error
    if isinstance(content, str):
        raise _refused(source, content)
    return parse_order(content, source, previous)


def digest_of(text: str) -> str:
    """What identifies an order's contents: SHA-256 in hexadecimal."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def digest_of_file(path: Path) -> str | None:
    """What identifies a file's contents, as `Loaded.digest` does; None where they cannot be read, or be an order's."""
    try:
        content = _read(path)
        return digest_of(_decode(content, str(path))) if isinstance(content, bytes) else None
    except (OSError, OrderInvalidError):
        return None


def parse_order(text: str | bytes, source: str, previous: Order | None = None) -> Loaded:
    """Check an order's contents; `source` is the file's name in messages. Raises OrderInvalidError."""
    content = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(content) > MAX_BYTES:
        raise _refused(source, f"has more than {MAX_BYTES // 2**20} MiB; an order never needs that")
    decoded = _decode(content, source)
    draft = Draft(previous)
    reader = _Reader(source, draft)
    try:
        reader.read(decoded)
        draft.finish()
        problems = [*draft.problems, *check(draft.order, complete=draft.whole)]
    except TooManyProblemsError:
        problems = [*draft.problems, Problem((), "there is more wrong than is listed here")]
    findings = sorted({*reader.findings, *_locate(decoded, source, problems)})
    if any(finding.severity == "error" for finding in findings):
        raise OrderInvalidError([finding for finding in findings if finding.severity == "error"])
    digest = digest_of(decoded)
    return Loaded(draft.order, tuple(findings), decoded, digest, reader.ended)


def _refused(source: str, message: str, line: int = 0, column: int = 0) -> OrderInvalidError:
    return OrderInvalidError([Finding(source, line, column, "", message)])


def _read(path: Path) -> bytes | str:
    """The file's contents, or (text) why it is refused. Never reads more than the limit, never waits for a pipe."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            return "is a directory, not an order file"
        if not stat.S_ISREG(status.st_mode):
            return "is not a regular file"
        if status.st_size > MAX_BYTES:
            return f"has {status.st_size / 2**20:.0f} MiB; an order of more than {MAX_BYTES // 2**20} MiB is not read"
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(MAX_BYTES + 1)
    finally:
        os.close(descriptor)


def _decode(content: bytes, source: str) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _refused(source, "is UTF-16; save it as UTF-8", 1, 1)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8", "replace")
        message = f"byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise _refused(source, message, *_place(before)) from error
    if (bad := _FORBIDDEN.search(text)) is not None:
        message = f"the character U+{ord(bad[0]):04X} is not allowed in YAML"
        raise _refused(source, message, *_place(text[: bad.start()]))
    return text


def _place(before: str) -> tuple[int, int]:
    """Line and column (from 1) of what comes after `before`."""
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def _events(text: str, source: str) -> Generator[yaml.Event, None, None]:
    """The YAML events of the text; raises OrderInvalidError where it is not YAML, or not one document."""
    loader = yaml.CSafeLoader(text)
    documents = ended_in = 0
    try:
        while (event := loader.get_event()) is not None:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    message = "a second YAML document begins here; an order is one"
                    raise _refused(source, message, *_mark(event.start_mark))
            elif isinstance(event, yaml.DocumentEndEvent) and event.explicit:
                ended_in = _mark(event.start_mark)[0]
            yield event
    except yaml.YAMLError as error:
        if ended_in:
            message = f"text after the end of the order (`...` in line {ended_in}); put it before, or take it out"
            raise _refused(source, message, *_mark(getattr(error, "problem_mark", None))) from error
        raise _not_yaml(error, text, source) from error
    finally:
        loader.dispose()


def _not_yaml(error: yaml.YAMLError, text: str, source: str) -> OrderInvalidError:
    """A syntax error in words; the parser's own text names only YAML's grammar, never the file's contents."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "it cannot be parsed"
    line, column = _mark(mark)
    if "maximum nesting depth" in problem:  # libyaml's own limit from 0.2.6 on; it reads ahead
        return _refused(source, _TOO_DEEP, line, column)
    at = _character(text, line, column)
    if at == "\t":
        problem = "a tab; YAML is indented with spaces"
    elif at == ":" and "expected node content" in problem:
        problem = "within {...} and [...] a value that begins with ':' needs quotes, such as \"::1\""
    elif "cannot start any token" in problem:
        problem = f"{shown(at)} cannot begin a value without quotes"
    begun = getattr(error, "context_mark", None)
    context = getattr(error, "context", None)
    if begun is not None and context and "next token" not in context:
        problem += f" ({context} that began in line {begun.line + 1})"
    if (blank := _odd_blank(text, {line, line - 1})) is not None:
        problem += f"; {blank}, which is no space to YAML"
    return _refused(source, f"not YAML: {problem}", line, column)


def _odd_blank(text: str, numbers: set[int]) -> str | None:
    """The first character of these lines that looks like a space, as pasted text has it, and is none."""
    for number, line in enumerate(text.split("\n"), 1):
        for character in line if number in numbers else "":
            if character != " " and unicodedata.category(character) == "Zs":
                return f"line {number} has U+{ord(character):04X} ({unicodedata.name(character)})"
    return None


def _character(text: str, line: int, column: int) -> str:
    lines = text.splitlines()
    return lines[line - 1][column - 1 : column] if 0 < line <= len(lines) else ""


def _mark(mark: yaml.Mark | yaml._yaml.Mark | None) -> tuple[int, int]:
    return (mark.line + 1, mark.column + 1) if mark is not None else (0, 0)


def _scalar(text: str) -> Tree:
    """A plain scalar by YAML 1.2's core schema, less the octal, hexadecimal and float numbers: those stay text."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if len(text) <= _MAX_INT_DIGITS and _INT.match(text):
        return int(text)
    return sys.intern(text)  # thousands of virtual interfaces name the same few connections


@dataclass(slots=True)
class _Anchor:
    value: Tree = None
    size: int = 0  # how many values it stands for; 0 while it is being read


@dataclass(slots=True)
class _Reader:
    """Feeds a Draft from the text, an entry of a section at a time."""

    source: str
    draft: Draft
    findings: list[Finding] = field(default_factory=list)
    ended: bool = False
    _values: int = 0
    _anchors: dict[str, _Anchor] = field(default_factory=dict)
    _next: Callable[[], yaml.Event] = field(init=False)

    def read(self, text: str) -> None:
        """Read the whole text; raises OrderInvalidError where nothing can be made of it."""
        events = _events(text, self.source)
        try:
            self._next = events.__next__
            self._next()
            start = self._next()
            if isinstance(start, yaml.StreamEndEvent):
                raise _refused(self.source, "is empty: there is no order in it")
            root = self._next()
            if not isinstance(root, yaml.MappingStartEvent):
                empty = isinstance(root, yaml.ScalarEvent) and not root.value and root.implicit[0]
                what = "a list" if isinstance(root, yaml.SequenceStartEvent) else "a single value"
                message = "is empty" if empty else f"is {what}"
                place = (0, 0) if empty else _mark(root.start_mark)
                raise _refused(self.source, f"{message}: an order is a map with the key `router`", *place)
            self._tag(root, ())
            self._mapping((), self._section)
            self._rest(events)
        finally:
            events.close()

    def _rest(self, events: Iterator[yaml.Event]) -> None:
        """What follows the order itself: at most `...` and comments."""
        try:
            for event in events:
                if isinstance(event, yaml.DocumentEndEvent) and event.explicit:
                    self.ended = True
        except OrderInvalidError as error:
            self.findings += error.findings

    def _section(self, key: str, event: yaml.Event) -> Tree:
        if key in SECTIONS and isinstance(event, yaml.MappingStartEvent) and event.anchor is None:
            self._tag(event, (key,))
            self._count(event, 1)

            def entry(name: str, event: yaml.Event) -> Tree:
                self.draft.entry(key, name, self._node(event, (key, name)))
                return None

            self._mapping((key,), entry)
            return None
        value = self._node(event, (key,))
        if key in SECTIONS and isinstance(value, dict):
            for name, tree in value.items():
                self.draft.entry(key, name, tree)
        else:
            self.draft.top(key, value)
        return None

    def _node(self, event: yaml.Event, path: found.Path) -> Tree:
        if type(event) is yaml.ScalarEvent and event.anchor is None and event.tag is None:  # nearly all of them
            self._count(event, 1)
            return _scalar(event.value) if event.implicit[0] else event.value
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, path)
        if not isinstance(event, yaml.NodeEvent):  # pragma: no cover - the parser gives nothing else here
            raise _refused(self.source, "not YAML", *_mark(event.start_mark))
        before = self._values
        self._count(event, 1)
        anchor = _Anchor()
        if event.anchor is not None:
            self._anchors[event.anchor] = anchor
        self._tag(event, path)
        value: Tree
        if isinstance(event, yaml.ScalarEvent):
            value = _scalar(event.value) if event.implicit[0] else event.value
        elif len(path) >= MAX_DEPTH:
            raise _refused(self.source, _TOO_DEEP, *_mark(event.start_mark))
        elif isinstance(event, yaml.MappingStartEvent):
            value = self._mapping(path, lambda key, event: self._node(event, (*path, key)))
        else:
            items: list[Tree] = []
            while not isinstance(item := self._next(), yaml.SequenceEndEvent):
                items.append(self._node(item, (*path, len(items))))
            value = tuple(items)
        anchor.value, anchor.size = value, self._values - before
        return value

    def _mapping(self, path: found.Path, read: Callable[[str, yaml.Event], Tree]) -> dict[str, Tree]:
        """The rest of a map; `read` makes the value of a key. A key that comes twice is an error."""
        result: dict[str, Tree] = {}
        lines: dict[str, int] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = self._key(event, path)
            if key is None:
                self._node(self._next(), (*path, ""))
            elif key in lines:
                message = f"the key is here twice; first in line {lines[key]}"
                self._add(event, (*path, key), message)
                if not path and key in SECTIONS:
                    read(key, self._next())
                else:
                    self._node(self._next(), (*path, key))
            else:
                lines[key] = _mark(event.start_mark)[0]
                result[key] = read(key, self._next())
        return result

    def _key(self, event: yaml.Event, path: found.Path) -> str | None:
        if isinstance(event, yaml.ScalarEvent):
            self._count(event, 1)
            if event.value == "<<" and event.implicit[0]:
                message = "merging maps (<<) is not part of YAML 1.2; write the keys out, or alias the whole value"
                self._add(event, path, message)
                return None
            return sys.intern(event.value)
        self._node(event, (*path, ""))
        self._add(event, path, "a key is a plain word, not a list, a map or an alias")
        return None

    def _alias(self, event: yaml.AliasEvent, path: found.Path) -> Tree:
        name = event.anchor or ""
        anchor = self._anchors.get(name)
        if anchor is None:
            self._add(event, path, f"the alias *{name[:40]} has no anchor &{name[:40]} before it")
            return None
        if not anchor.size:
            raise _refused(self.source, f"the alias *{name[:40]} contains itself", *_mark(event.start_mark))
        self._count(event, anchor.size)
        return anchor.value

    def _tag(self, event: yaml.NodeEvent, path: found.Path) -> None:
        tag = getattr(event, "tag", None)
        if tag not in {None, "!"}:
            self._add(event, path, f"YAML tags ({shown(tag)}) have no meaning in an order")

    def _count(self, event: yaml.Event, values: int) -> None:
        self._values += values
        if self._values > MAX_VALUES:
            message = f"here the order passes {MAX_VALUES:,} values (aliases expanded); it is not read any further"
            raise _refused(self.source, message, *_mark(event.start_mark))

    def _add(self, event: yaml.Event, path: found.Path, message: str) -> None:
        if len(self.findings) >= 1000:
            raise OrderInvalidError(self.findings)
        self.findings.append(Finding(self.source, *_mark(event.start_mark), path_text(path), message))


@dataclass(slots=True)
class _Places:
    """Where wanted paths are in the file: (line, column) of the key and of the value."""

    key: dict[found.Path, tuple[int, int]] = field(default_factory=dict)
    value: dict[found.Path, tuple[int, int]] = field(default_factory=dict)

    def of(self, path: found.Path, part: found.Part) -> tuple[int, int]:
        """The place of a path; of the nearest thing around it where it is not in the file."""
        if path in self.value and (part == "value" or not path):
            return self.value[path]
        while path:
            if path in self.key:
                return self.key[path]
            path = path[:-1]
        return (0, 0)


def _locate(text: str, source: str, problems: list[Problem]) -> Iterator[Finding]:
    if not problems:
        return
    wanted: set[found.Path] = set()
    for problem in problems:
        for path in (problem.path, *problem.others):
            wanted.update(path[:length] for length in range(1, len(path) + 1))
    places = _places(text, source, wanted)
    for problem in problems:
        message = problem.message
        for path in problem.others:
            message = message.replace("{line}", f"line {places.of(path, 'key')[0]}", 1)
        line, column = places.of(problem.path, problem.part)
        yield Finding(source, line, column, path_text(problem.path), message, problem.severity)


def _places(text: str, source: str, wanted: set[found.Path]) -> _Places:
    """Walk the text once more and note where the wanted paths are (the first one where a key is there twice)."""
    places = _Places()
    events = _events(text, source)

    def node(event: yaml.Event, path: found.Path, seen: bool) -> None:
        """`seen`: the path is wanted, so something below it may be."""
        if seen:
            places.value.setdefault(path, _mark(event.start_mark))
        if isinstance(event, yaml.MappingStartEvent):
            while not isinstance(key := next(events), yaml.MappingEndEvent):
                below = (*path, key.value) if isinstance(key, yaml.ScalarEvent) else (*path, "")
                hit = seen and below in wanted
                if hit:
                    places.key.setdefault(below, _mark(key.start_mark))
                if not isinstance(key, yaml.ScalarEvent):
                    node(key, (), seen=False)
                node(next(events), below, hit)
        elif isinstance(event, yaml.SequenceStartEvent):
            index = 0
            while not isinstance(item := next(events), yaml.SequenceEndEvent):
                below = (*path, index)
                hit = seen and below in wanted
                if hit:
                    places.key.setdefault(below, _mark(item.start_mark))
                node(item, below, hit)
                index += 1

    next(events)
    next(events)
    node(next(events), (), seen=True)
    events.close()
    return places
