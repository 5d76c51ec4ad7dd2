# SPDX-License-Identifier: GPL-2.0-only
"""Gives up whatever a process could do beyond reading what it has open and writing to it."""

from __future__ import annotations

import ctypes
import os
import resource
import signal

_NOBODY = 65534
# linux/prctl.h and linux/capability.h, for what Python has no names.
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_CAPABILITY_VERSION_3 = 0x20080522
_CAPABILITY_WORDS = 6  # effective, permitted and inheritable, twice 32 bits each
_MEMORY_BYTES_MAX = 1 << 30
# A descriptor that is not below this cannot be made: no file, no socket. Those that are open stay; poll(2), by which a
# read is bounded in time, takes as many as this.
_DESCRIPTORS_MAX = 1


def drop_privileges(cpu_seconds: int) -> None:
    """For good: another user, no capability, no new file, socket or process, and an end when the parent ends. OSError.

    Whatever is to be imported has been by now.
    """
    os.chdir("/")
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    _checked(libc.capset(header, (ctypes.c_uint32 * _CAPABILITY_WORDS)()))
    for option, value in ((_PR_SET_NO_NEW_PRIVS, 1), (_PR_SET_DUMPABLE, 0), (_PR_SET_PDEATHSIG, signal.SIGKILL)):
        _checked(libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0))
    for limit, most in (
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_AS, _MEMORY_BYTES_MAX),
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_NOFILE, _DESCRIPTORS_MAX),
    ):
        resource.setrlimit(limit, (most, most))


def _checked(status: int) -> None:
    if status != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
