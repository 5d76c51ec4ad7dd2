"""A kind of kernel object is a folder and an entry in the registry: none is forgotten there."""

from __future__ import annotations

import importlib
from pathlib import Path

import dcedge.kernel
from dcedge.kernel.registry import SLICES, STEPS
from dcedge.kernel.resource import KernelResource

FOLDER = Path(dcedge.kernel.__file__).parent


def test_what_is_a_kernel_object_has_steps_in_the_registry() -> None:
    modules = [importlib.import_module(f"dcedge.kernel.{p.parent.name}.resource") for p in FOLDER.glob("*/resource.py")]
    kinds = {
        kind
        for module in modules
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, KernelResource) and kind.__module__ == module.__name__
    }
    assert kinds == set(STEPS)


def test_what_an_order_asks_for_and_what_is_ours_are_in_the_registry() -> None:
    known = {
        step.__module__
        for slice_ in SLICES
        for step in (slice_.derive_shared, slice_.derive_interface, slice_.observe)
        if step is not None
    }
    for stage in ("derive", "observe"):
        modules = {f"dcedge.kernel.{path.parent.name}.{stage}" for path in FOLDER.glob(f"*/{stage}.py")}
        assert modules - known <= {"dcedge.kernel.sysctl.observe"}  # settings are no part of what netlink tells
