"""Settings are written at once: they are files."""

from __future__ import annotations

from collections.abc import Iterator

from dcedge.kernel import proc_sys
from dcedge.kernel.context import Context, Step
from dcedge.kernel.sysctl.resource import Sysctl
from dcedge.plan.diff import Operation


def steps(_: Context, __: Operation, before: Sysctl | None, after: Sysctl | None) -> Iterator[Step]:
    """No message. Raises KernelError."""
    setting = after or before
    assert setting is not None
    proc_sys.write(setting.path, setting.value)
    if setting.along is not None:
        proc_sys.write(*setting.along)
    return iter(())
