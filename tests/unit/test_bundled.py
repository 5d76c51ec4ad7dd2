"""What the package says of the libraries in it: whose they are, their licences, and what is inside of them."""

from __future__ import annotations

import json
import re
import sysconfig
from pathlib import Path

import pytest

from package.bundled import Part, canonical, read_part
from package.copyright import debian_copyright
from package.sbom import sbom

ROOT = Path(__file__).resolve().parents[2]
SITE = "usr/lib/dcedge/lib/python3/site-packages"
EPOCH = 1_790_000_000
METADATA = "Metadata-Version: 2.4\nName: {name}\nVersion: {version}\nLicense: {licence}\n\nAbout it.\n"


def pinned(name: str) -> dict[str, str]:
    """Which version of what a requirements file pins."""
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE))


@pytest.fixture(scope="module")
def parts() -> list[Part]:
    """What runs, as it is installed here."""
    site = Path(sysconfig.get_path("purelib"))
    read = [read_part(folder) for folder in site.glob("*.dist-info") if _name(folder) in pinned("requirements.txt")]
    return sorted(read, key=lambda part: canonical(part.name))


def installed(
    folder: Path, name: str, version: str = "1.0", licence: str = "MIT", text: str = "Copyright 2026 A"
) -> Path:
    """The metadata of a package."""
    made = folder / f"{name}-{version}.dist-info"
    (made / "licenses").mkdir(parents=True)
    (made / "METADATA").write_text(METADATA.format(name=name, version=version, licence=licence))
    (made / "RECORD").write_text(f"../../bin/{name},,\n{name}/__init__.py,sha256=x,1\n{name}_one.py,,\n")
    (made / "licenses/LICENSE").write_text(text)
    return made


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_library_is_pinned_with_the_hashes_of_its_files_and_no_index_is_named(name: str) -> None:
    text = (ROOT / name).read_text()
    entries = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(entries) == len(pinned(name)) > 10
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", entry) for entry in entries)
    assert "://" not in text


def test_the_bill_of_materials_has_every_library_that_runs(parts: list[Part]) -> None:
    bill = json.loads(sbom("0.2.0", parts, {"h11": "ab" * 32}, EPOCH))
    assert {canonical(c["name"]): c["version"] for c in bill["components"]} == pinned("requirements.txt")
    assert (bill["bomFormat"], bill["metadata"]["component"]["version"]) == ("CycloneDX", "0.2.0")
    assert bill["metadata"]["timestamp"] == "2026-09-21T14:13:20Z"
    (h11,) = (c for c in bill["components"] if c["name"] == "h11")
    assert h11["hashes"] == [{"alg": "SHA-256", "content": "ab" * 32}]
    assert h11["licenses"] == [{"expression": "MIT"}]
    (systemd,) = (c for c in bill["components"] if c["name"] == "cysystemd")
    assert "systemd-libs" in {inner["name"] for inner in systemd["components"]}


def test_its_references_lead_somewhere_and_it_is_the_same_each_time(parts: list[Part]) -> None:
    text = sbom("0.2.0", parts, {}, EPOCH)
    assert text == sbom("0.2.0", parts, {}, EPOCH)
    bill = json.loads(text)
    refs = re.findall(r'"bom-ref": "([^"]+)"', text)
    assert len(refs) == len(set(refs))
    for entry in bill["dependencies"]:
        assert {entry["ref"], *entry["dependsOn"]} <= set(refs)
    depends = {entry["ref"].partition("@")[0]: entry["dependsOn"] for entry in bill["dependencies"]}
    assert [ref.partition("@")[0] for ref in depends["pkg:pypi/jinja2"]] == ["pkg:pypi/markupsafe"]


def test_the_copyright_file_names_every_library_its_owners_and_its_licence(parts: list[Part]) -> None:
    stanzas = debian_copyright(SITE, parts).split("\n\n")
    assert stanzas[0].startswith("Format: ")
    for stanza in stanzas[1:]:
        assert re.match(r"Files: .*\n( .*\n)*Copyright: .*\n( .*\n)*License: .*\n( .*\n)*", stanza), stanza
    for part in parts:
        (said,) = (stanza for stanza in stanzas if f"\nComment: {part.name} {part.version}.\n" in stanza + "\n")
        assert f"\nLicense: {part.licence}\n" in said
        assert part.copyright[0] in said
        assert all(f"{SITE}/{place}\n" in said for place in part.places)
        assert all(f"{inner.name} {inner.version} ({inner.licence})" in said for inner in part.inner)
    (scapy,) = (part for part in parts if part.name == "scapy")
    assert scapy.licence == "GPL-2.0-only"
    assert "Free Software Foundation" not in "".join(scapy.copyright)
    assert f"Files: {SITE}/dcedge_capture/*\nCopyright: The dcedge authors\nLicense: GPL-2.0-only\n" in "\n\n".join(
        stanzas
    )


def test_what_a_package_is_is_read_from_its_metadata(tmp_path: Path) -> None:
    text = "The X licence\n\n(c) 2020-2021 A. Name.\nCopyright [yyyy] [name of copyright owner]\n"
    part = read_part(installed(tmp_path, "thing", licence="Apache 2.0", text=text))
    assert (part.licence, part.copyright) == ("Apache-2.0", ("2020-2021 A. Name",))
    assert part.places == ("thing/*", "thing_one.py")


@pytest.mark.parametrize("licence", ["", "See the file", "MIT, or what you like"])
def test_a_licence_that_is_not_known_ends_the_build(tmp_path: Path, licence: str) -> None:
    with pytest.raises(SystemExit, match="the licence of thing is not known"):
        read_part(installed(tmp_path, "thing", licence=licence))


def test_a_library_inside_of_another_is_known_with_its_licence_or_ends_the_build(tmp_path: Path) -> None:
    folder = installed(tmp_path, "thing")
    (folder / "sboms").mkdir()
    inner = {"name": "libsecret", "version": "1.2"}
    bill = folder / "sboms/thing.cdx.json"
    bill.write_text(json.dumps({"components": [{"name": "thing", "version": "1.0"}, inner]}))
    with pytest.raises(SystemExit, match=r"the licence of libsecret 1.2, which is in thing, is not known"):
        read_part(folder)
    bill.write_text(json.dumps({"components": [inner | {"licenses": [{"expression": "ISC"}]}]}))
    assert [(one.name, one.licence) for one in read_part(folder).inner] == [("libsecret", "ISC")]


def test_whoever_raises_a_library_that_hides_others_has_to_look_again(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="look again"):
        read_part(installed(tmp_path, "bcrypt", version="99.0"))


def _name(folder: Path) -> str:
    return canonical(folder.name.partition("-")[0])
