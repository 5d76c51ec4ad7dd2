"""The chains of others that drop, in nftables."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

from dcedge.firewall.objects import TABLE_NAME


def foreign_firewall() -> tuple[str, ...]:
    """The chains of others that drop something where our traffic passes; none where nft cannot be asked."""
    nft = shutil.which("nft", path=os.pathsep.join(("/usr/sbin", "/sbin", os.defpath)))
    if nft is None:
        return ()
    try:
        words = [nft, "-j", "list", "ruleset"]
        done = subprocess.run(words, capture_output=True, encoding="utf-8", errors="replace", timeout=10, check=False)
        listing = json.loads(done.stdout) if done.returncode == 0 else {}
    except (subprocess.TimeoutExpired, ValueError):
        return ()
    return tuple(dropping_chains(listing))


def dropping_chains(listing: Any) -> Iterator[str]:
    """The base chains of others in nft's JSON listing that drop, by policy or by a rule."""
    objects = listing.get("nftables", []) if isinstance(listing, dict) else []
    chains: dict[tuple[str, str, str], str] = {}
    dropping: dict[tuple[str, str, str], int] = {}
    for entry in objects:
        if (chain := entry.get("chain")) is not None and chain.get("table") != TABLE_NAME and "hook" in chain:
            place = (chain["family"], chain["table"], chain["name"])
            policy = f", policy {chain['policy']}" if chain.get("policy") == "drop" else ""
            chains[place] = f"{chain['hook']}{policy}"
        rule = entry.get("rule")
        if rule is not None and rule.get("table") != TABLE_NAME:
            place = (rule["family"], rule["table"], rule["chain"])
            if any("drop" in part or "reject" in part for part in rule.get("expr", []) if isinstance(part, dict)):
                dropping[place] = dropping.get(place, 0) + 1
    for place, hook in chains.items():
        family, table, name = place
        if "policy drop" in hook or place in dropping:
            rules = f", {dropping[place]} dropping rules" if place in dropping else ""
            yield f"nft table {family} {table}, chain {name} (hook {hook}{rules})"
