"""What is bundled with dcedge: each Python package installed beside it, by its own metadata (PEP 566, 639, 770).

Some hold more, compiled in or as shared libraries. Where a package's own bill of materials (its .dist-info/sboms) does
not list that or leaves out the licence, it stands in the tables here, by version: the build fails on what is not known.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

MIT_OR_APACHE = "MIT OR Apache-2.0"
# What wheels hold without saying so: read in the names that the compiler has left in them.
UNDECLARED: Mapping[tuple[str, str], tuple[tuple[str, str, str], ...]] = {
    ("bcrypt", "5.0.0"): (
        ("base64", "0.22.1", MIT_OR_APACHE),
        ("bcrypt", "0.17.1", "MIT"),
        ("bcrypt-pbkdf", "0.10.0", MIT_OR_APACHE),
        ("blowfish", "0.9.1", MIT_OR_APACHE),
        ("once_cell", "1.21.3", MIT_OR_APACHE),
        ("pbkdf2", "0.12.2", MIT_OR_APACHE),
        ("pyo3", "0.26.0", MIT_OR_APACHE),
        ("sha2", "0.10.9", MIT_OR_APACHE),
    ),
    ("PyYAML", "6.0.4"): (("libyaml", "0.2.6", "MIT"),),
}
# Packages that certainly hold what they compile: whoever raises their version looks again.
LOOKED_INTO = frozenset(name for name, _ in UNDECLARED)
# Of libraries that a bill of materials names without their licence.
LICENCES = {
    "libcap": "BSD-3-Clause OR GPL-2.0-only",
    "libgcrypt": "LGPL-2.1-or-later",
    "libgpg-error": "LGPL-2.1-or-later",
    "libzstd": "BSD-3-Clause OR GPL-2.0-only",
    "lz4-libs": "BSD-2-Clause",
    "systemd-libs": "LGPL-2.1-or-later",
    "xz-libs": "LicenseRef-public-domain",
}
# Older metadata in SPDX's words (spdx.org/licenses).
SPDX = {
    "Apache 2.0": "Apache-2.0",
    "ISC License": "ISC",
    "License :: OSI Approved :: BSD License": "BSD-3-Clause",
    "License :: OSI Approved :: MIT License": "MIT",
}
_COPYRIGHT = re.compile(r"^\W*(?:Copyright\b|\(c\))(?P<whose>[^\[{]*\d[^\[{]*)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Inner:
    """A library inside of a part."""

    name: str
    version: str
    licence: str  # an SPDX expression
    purl: str


@dataclass(frozen=True, slots=True)
class Part:
    """A Python package: its licence as an SPDX expression with its text, who has the copyright, where its files are."""

    name: str
    version: str
    licence: str
    text: str
    copyright: tuple[str, ...]
    places: tuple[str, ...]  # below site-packages
    requires: tuple[str, ...]
    inner: tuple[Inner, ...]

    @property
    def purl(self) -> str:
        """Its name for programs (github.com/package-url/purl-spec)."""
        return f"pkg:pypi/{canonical(self.name)}@{self.version}"


def canonical(name: str) -> str:
    """A package's name as it is compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def bundled(site: Path, itself: str = "dcedge") -> list[Part]:
    """All parts in a site-packages folder but the package itself. Raises SystemExit where a licence is not known."""
    parts = [read_part(folder) for folder in site.glob("*.dist-info")]
    return sorted((part for part in parts if part.name != itself), key=lambda part: canonical(part.name))


def read_part(folder: Path) -> Part:
    """What a .dist-info folder tells. Raises SystemExit."""
    metadata = HeaderParser().parsestr((folder / "METADATA").read_text())
    name, version = metadata["Name"], metadata["Version"]
    texts = [path.read_text(errors="replace") for path in _licence_files(folder)]
    if not texts:
        raise SystemExit(f"{name} {version} has no text of its licence")
    # The Free Software Foundation has the copyright of the licence's text.
    owners = dict.fromkeys(
        o for text in texts for o in _owners(text) if not o.endswith("Free Software Foundation, Inc.,")
    )
    return Part(
        name=name,
        version=version,
        licence=licence_of(metadata),
        text="\n\n".join(text.strip() for text in texts),
        copyright=tuple(owners) or (metadata["Author"] or metadata["Author-Email"] or f"The {name} authors",),
        places=tuple(sorted(_places(folder))),
        requires=tuple(sorted({canonical(required) for required in _requires(metadata)})),
        inner=tuple(_inner(folder, name, version)),
    )


def licence_of(metadata: Message) -> str:
    """The licence as an SPDX expression. Raises SystemExit."""
    said = metadata["License-Expression"] or metadata["License"]
    if said is None:
        classified = [line for line in metadata.get_all("Classifier", []) if line in SPDX]
        said = classified[0] if classified else ""
    expression: str = SPDX.get(said, said)
    if not re.fullmatch(r"[(]*[A-Za-z0-9.+-]+[)]*( (AND|OR|WITH) [(]*[A-Za-z0-9.+-]+[)]*)*", expression):
        raise SystemExit(f"the licence of {metadata['Name']} is not known: {said[:60]!r}")
    return expression


def _licence_files(folder: Path) -> Iterator[Path]:
    named = folder / "licenses"
    for path in sorted(named.rglob("*") if named.is_dir() else folder.iterdir()):
        if path.is_file() and path.name.upper().startswith(("LICEN", "COPYING", "NOTICE")):
            yield path


def _owners(text: str) -> Iterator[str]:
    for line in text.splitlines():
        found = _COPYRIGHT.match(line)
        if found and "Free Software Foundation" not in line:  # whose is the licence's text
            yield " ".join(re.sub(r"\(c\)|©", "", found["whose"], flags=re.IGNORECASE).split()).rstrip(".")


def _places(folder: Path) -> set[str]:
    """The topmost folders and files that the package has installed, its metadata among them."""
    places = set()
    for line in (folder / "RECORD").read_text().splitlines():
        top, nested, _ = line.partition(",")[0].strip('"').partition("/")
        if top not in {"..", "bin", "__pycache__"}:
            places.add(f"{top}/*" if nested else top)
    return places


def _requires(metadata: Message) -> Iterator[str]:
    for line in metadata.get_all("Requires-Dist", []):
        if "extra ==" not in line:
            yield re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0]


def _inner(folder: Path, name: str, version: str) -> Iterator[Inner]:
    if name in LOOKED_INTO and (name, version) not in UNDECLARED:
        raise SystemExit(f"package/bundled.py says what is inside of another {name} than {version}: look again")
    for inner, number, licence in UNDECLARED.get((name, version), ()):
        yield Inner(inner, number, licence, f"pkg:generic/{inner}@{number}")
    for path in sorted((folder / "sboms").glob("*.json")):
        for component in json.loads(path.read_text()).get("components", ()):
            if canonical(component["name"]) != canonical(name):
                yield _declared(component, name)


def _declared(component: Mapping[str, Any], holder: str) -> Inner:
    name, version = component["name"], component["version"]
    given = component.get("licenses", [])
    licence = given[0].get("expression") or given[0].get("license", {}).get("id") if given else LICENCES.get(name)
    if licence is None:
        raise SystemExit(f"the licence of {name} {version}, which is in {holder}, is not known")
    return Inner(name, version, licence.replace("/", " OR "), component.get("purl", f"pkg:generic/{name}@{version}"))
