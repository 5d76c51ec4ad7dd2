"""The settings that the intent names, as they are: files, and not among what netlink tells."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from dcedge.kernel import proc_sys
from dcedge.kernel.sysctl.resource import Sysctl
from dcedge.plan.resource import Key, Resource

log = logging.getLogger(__name__)
_missing: set[str] = set()


def settings_of(intent: Iterable[Resource]) -> dict[Key, Resource]:
    """Those, by key.

    A limit that this network namespace does not have (most are the initial one's alone) counts as high enough; that is
    logged once.
    """
    found: dict[Key, Resource] = {}
    for wanted in intent:
        if not isinstance(wanted, Sysctl):
            continue
        value = proc_sys.read(wanted.path)
        if value is None and wanted.at_least:
            if wanted.path not in _missing:
                _missing.add(wanted.path)
                log.info("%s is not to be had here: see that the host has at least %d", wanted.key.name, wanted.value)
            value = wanted.value
        if value is not None:
            found[wanted.key] = Sysctl(wanted.path, value)
    return found
