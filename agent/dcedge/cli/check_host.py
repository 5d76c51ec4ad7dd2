"""`dcedge check --host`."""

from __future__ import annotations

import json
import sys

from dcedge.cli.exits import EXIT_FAILED
from dcedge.monitor.preflight.results import results_json, results_text
from dcedge.monitor.preflight.run import run_checks
from dcedge.order.load import Loaded
from dcedge.settings import Settings


def check_host(settings: Settings, loaded: Loaded | None, *, as_json: bool) -> None:
    """Print every line of the pre-flight, and end with a failure where something is wrong. Raises KernelError."""
    lines = run_checks(settings, loaded.order if loaded is not None else None)
    if as_json:
        warnings = [warning.as_dict() for warning in loaded.warnings] if loaded is not None else []
        document = {"valid": True, "problems": [], "warnings": warnings, "host": results_json(lines)}
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    else:
        sys.stdout.write(results_text(lines) + "\n")
    if any(line.state == "wrong" for line in lines):
        raise SystemExit(EXIT_FAILED)
