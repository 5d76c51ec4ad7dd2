"""How a command ends. Exit status: 0 done, 1 failed, 2 changes pending (plan), 3 order invalid, 4 no daemon."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from dcedge.errors import DcedgeError, NotRunningError
from dcedge.logging.masking import hide
from dcedge.order.findings import OrderInvalidError

EXIT_FAILED, EXIT_PENDING, EXIT_INVALID, EXIT_NO_DAEMON = 1, 2, 3, 4


def fail(text: str, status: int) -> NoReturn:
    """End with a message and a status."""
    sys.stderr.write(hide(text) + "\n")
    raise SystemExit(status)


@contextmanager
def reported_errors() -> Iterator[None]:
    """Every expected error as one clear message and its exit status."""
    try:
        yield
    except OrderInvalidError as error:
        fail(str(error), EXIT_INVALID)
    except NotRunningError as error:
        fail(f"dcedge: {error}", EXIT_NO_DAEMON)
    except DcedgeError as error:
        fail(f"dcedge: {error}", EXIT_FAILED)
    except PermissionError as error:
        fail(f"dcedge: {error.filename or 'this'}: {error.strerror} (are you root?)", EXIT_FAILED)
