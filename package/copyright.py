"""debian/copyright, in the machine-readable format 1.0: dcedge's own files, then every bundled part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from package.bundled import Part

# Whose text every Debian has, by their names in SPDX: Debian policy, 12.5.
COMMON = {
    "Apache-2.0": "Apache-2.0",
    "GPL-2.0-only": "GPL-2",
    "LGPL-2.1-or-later": "LGPL-2.1",
    "MPL-2.0": "MPL-2.0",
}
OWN = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: dcedge

Files: *
Copyright: The dcedge authors
License: Apache-2.0
 The text is in /usr/share/common-licenses/Apache-2.0.

Files: {site}/dcedge_capture/*
Copyright: The dcedge authors
License: GPL-2.0-only
 The text is in /usr/share/common-licenses/GPL-2.
Comment: The program dcedge-capture, which rests on scapy. It shares no code and no process with dcedge.
"""


def debian_copyright(site: str, parts: Sequence[Part]) -> str:
    """The file. `site`: where the Python packages lie, without a slash before it."""
    return "\n".join((OWN.format(site=site), *("\n".join(_stanza(site, part)) + "\n" for part in parts)))


def _stanza(site: str, part: Part) -> Iterator[str]:
    yield "Files: " + "\n ".join(f"{site}/{place}" for place in part.places)
    yield "Copyright: " + "\n ".join(part.copyright)
    yield f"License: {part.licence}"
    yield from _text(part)
    yield f"Comment: {part.name} {part.version}."
    if part.inner:
        yield " It holds, compiled in or as shared libraries of its own:"
        yield from (f"  {inner.name} {inner.version} ({inner.licence})" for inner in part.inner)
        for licence in sorted({COMMON[i.licence] for i in part.inner if i.licence in COMMON}):
            yield f" The text of {licence} is in /usr/share/common-licenses/{licence}."


def _text(part: Part) -> Iterator[str]:
    if part.licence in COMMON:
        yield f" The text is in /usr/share/common-licenses/{COMMON[part.licence]}."
        return
    for line in part.text.splitlines():
        yield f" {line.rstrip()}" if line.strip() else " ."
