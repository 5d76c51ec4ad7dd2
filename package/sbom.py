"""The bill of materials of the package, in CycloneDX 1.6 (ECMA-424): every bundled part, and what is inside of it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from package.bundled import Inner, Part, canonical

LICENCE = "Apache-2.0 AND GPL-2.0-only"


def sbom(version: str, parts: Sequence[Part], sha256: Mapping[str, str], when: int) -> str:
    """The document as JSON. `sha256`: of the files installed from, by canonical name; `when`: seconds since 1970."""
    known = {canonical(part.name): part.purl for part in parts}
    itself = f"pkg:generic/dcedge@{version}"
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {"bom-ref": itself, **_component("application", "dcedge", version, LICENCE, itself)},
        },
        "components": [_part(part, sha256.get(canonical(part.name))) for part in parts],
        "dependencies": [
            {"ref": itself, "dependsOn": sorted(known.values())},
            *(
                {"ref": part.purl, "dependsOn": [known[name] for name in part.requires if name in known]}
                for part in parts
            ),
        ],
    }
    content = json.dumps(document, sort_keys=True)
    document["serialNumber"] = uuid.uuid5(uuid.NAMESPACE_OID, content).urn
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def _part(part: Part, sha256: str | None) -> dict[str, Any]:
    made = {"bom-ref": part.purl, **_component("library", part.name, part.version, part.licence, part.purl)}
    if sha256 is not None:
        made["hashes"] = [{"alg": "SHA-256", "content": sha256}]
    if part.inner:
        made["components"] = [_inner(part, inner) for inner in part.inner]
    return made


def _inner(part: Part, inner: Inner) -> dict[str, Any]:
    made = _component("library", inner.name, inner.version, inner.licence, inner.purl)
    return {"bom-ref": f"{part.purl}#{inner.name}@{inner.version}", **made}


def _component(kind: str, name: str, version: str, licence: str, purl: str) -> dict[str, Any]:
    return {"type": kind, "name": name, "version": version, "licenses": [{"expression": licence}], "purl": purl}
