"""FRR: its version, its daemons, how they were started, and what of its configuration works against the order."""

from __future__ import annotations

from collections.abc import Iterator

from dcedge.errors import FrrError
from dcedge.frr.observe import warnings
from dcedge.frr.started import Started, start_problems
from dcedge.frr.versions import version_warnings
from dcedge.monitor.preflight.check import CheckResult, PreflightInput

_FILE = "daemons"
_RESTART = "systemctl restart frr  # stops every session for a moment"


def daemons(router: PreflightInput) -> Iterator[CheckResult]:
    """The daemons that are needed answer."""
    absent = router.frr.unavailable()
    file = router.frr_folder / _FILE
    for name, why in absent.items():
        mend = f"set {name}=yes in {file}, then: {_RESTART}" if name != "zebra" else "apt install frr"
        yield CheckResult("FRR", "wrong", why, mend)
    if not absent:
        yield CheckResult("FRR", "good", f"version {router.frr.version or '?'}, and its daemons answer")
    for wedged in router.frr.wedged_others():
        text = f"{wedged} runs but does not answer: vtysh, and whatever uses it, hangs"
        yield CheckResult("FRR", "warning", text, _RESTART)


def version(router: PreflightInput) -> Iterator[CheckResult]:
    """The version is one that dcedge is tested with, and has no fault that the order meets."""
    for text in version_warnings(router.frr.version, router.interfaces):
        yield CheckResult("FRR's version", "warning", text, "apt install --only-upgrade frr")


def options(router: PreflightInput) -> Iterator[CheckResult]:
    """The daemons' options and file descriptors fit the order."""
    started = Started(router.frr.processes(), router.frr_folder / _FILE)
    problems = list(start_problems(router.interfaces, started, router.others))
    for problem in problems:
        text, _, mend = problem.rpartition(": ")
        wrong = "too few" in problem
        yield CheckResult("FRR's options", "wrong" if wrong else "warning", text or problem, mend if text else "")
    if not problems:
        yield CheckResult("FRR's options", "good", "options and file descriptors fit the order")


def configuration(router: PreflightInput) -> Iterator[CheckResult]:
    """Nothing in FRR's configuration tells secrets, or keeps the router from forwarding."""
    try:
        running = router.frr.ask("zebra", "show running-config").splitlines()
        told = list(warnings(router.frr.running_config()))
    except FrrError as error:
        yield CheckResult("FRR's configuration", "unknown", str(error))
        return
    for line, family in (("no ip forwarding", "IPv4"), ("no ipv6 forwarding", "IPv6")):
        if line in running and _ordered(router, 4 if family == "IPv4" else 6):
            text = f"`{line}` switches {family} forwarding off whenever FRR starts"
            yield CheckResult(
                "FRR's configuration",
                "wrong",
                text,
                f"vtysh -c 'configure terminal' -c '{line[3:]}' -c 'end' -c 'write'",
            )
    for text in told:
        yield CheckResult("FRR's configuration", "warning", text)
    if not told:
        yield CheckResult("FRR's configuration", "good", "nothing in it conflicts with the order")


def _ordered(router: PreflightInput, version: int) -> bool:
    return any(pair.customer.version == version for interface in router.interfaces for pair in interface.addresses)
