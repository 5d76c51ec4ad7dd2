"""The errors of dcedge; each knows whether trying again can help."""

from __future__ import annotations

from dcedge.logging.masking import hide


class DcedgeError(Exception):
    """Base of every error that dcedge raises on purpose; its text is fit for an operator."""

    retryable = False


class SettingsError(DcedgeError):
    """A setting of the environment that has no meaning."""


class UnitError(DcedgeError, ValueError):
    """A rate or a duration that cannot be read."""


class KernelError(DcedgeError):
    """The kernel refused an operation; `errno` is its reason."""

    def __init__(self, text: str, errno: int, *, retryable: bool = False) -> None:
        super().__init__(text)
        self.errno = errno
        self.retryable = retryable


class FrrError(DcedgeError):
    """FRR refused a line or contradicted itself after a change.

    What FRR says repeats what it was given, so secrets are hidden here, wherever the text goes.
    """

    def __init__(self, text: str) -> None:
        super().__init__(hide(text))


class FrrUnavailableError(FrrError):
    """FRR (or one daemon of it) does not answer now; it may come back."""

    retryable = True


class StateError(DcedgeError):
    """The state folder cannot be used, or what it holds cannot be read."""


class BusyError(DcedgeError):
    """Another process holds the writer's lock."""

    retryable = True


class NotRunningError(DcedgeError):
    """The verb needs the daemon and no daemon answers on the control socket."""


class MeasureError(DcedgeError):
    """A measurement could not be made, or says nothing."""


class CaptureError(DcedgeError):
    """`dcedge-capture` could not be used, or says what makes no sense."""
