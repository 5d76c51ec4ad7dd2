"""Many datagrams in one system call, sendmmsg(2) and recvmmsg(2), which Python's socket module lacks.

Less than the calls it saves, it is the interpreter's lock: a system call of the event loop gives it away, and where a
worker thread is busy it comes back late. A call a packet would hold the loop for as many turns; these two, which never
wait, keep it.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
from collections.abc import Iterator, Sequence

BATCH = 64
_FRAME = 512  # more than a sent echo with every header in front of it
_NAME = 28  # struct sockaddr_in6
_CONTROL = 256
_CMSG = struct.Struct("@Nii")  # struct cmsghdr: length, level, type; aligned to a size_t, as is its data
_ALIGN = struct.calcsize("@N") - 1


class _IoVec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _MessageHeader(ctypes.Structure):
    """struct msghdr (recvmsg(2))."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("iov", ctypes.POINTER(_IoVec)),
        ("iov_length", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    """struct mmsghdr (recvmmsg(2))."""

    _fields_ = (("header", _MessageHeader), ("length", ctypes.c_uint32))


# What a datagram came with: frame, sender's struct sockaddr, ancillary data; valid until the next call.
Received = tuple[memoryview, memoryview, memoryview]


class Datagrams:
    """Room for a batch of datagrams, and the two calls upon it."""

    def __init__(self) -> None:
        self._messages = (_Message * BATCH)()
        self._iovs = (_IoVec * BATCH)()
        self._buffers = [(ctypes.c_char * (BATCH * size))() for size in (_FRAME, _NAME, _CONTROL)]
        self._frames, self._names, self._controls = (memoryview(buffer).cast("B") for buffer in self._buffers)
        frames, names, controls = (ctypes.addressof(buffer) for buffer in self._buffers)
        for number, (message, iov) in enumerate(zip(self._messages, self._iovs, strict=True)):
            iov.base, iov.length = frames + number * _FRAME, _FRAME
            message.header.iov, message.header.iov_length = ctypes.pointer(iov), 1
            message.header.name, message.header.name_length = names + number * _NAME, _NAME
            message.header.control, message.header.control_length = controls + number * _CONTROL, _CONTROL
        self._empty = bytes(self._messages)  # the kernel writes lengths into the headers: so they look before
        libc = ctypes.PyDLL(None, use_errno=True)
        self._sendmmsg, self._recvmmsg = libc.sendmmsg, libc.recvmmsg

    def send(self, descriptor: int, datagrams: Sequence[tuple[bytes, bytes, bytes]]) -> list[int]:
        """Send up to BATCH datagrams (frame, struct sockaddr, ancillary data); the errno of each, 0 where it left."""
        for number, (datagram, message, iov) in enumerate(zip(datagrams, self._messages, self._iovs, strict=False)):
            frame, name, control = datagram
            at = number * _FRAME
            self._frames[at : at + len(frame)] = frame
            at = number * _NAME
            self._names[at : at + len(name)] = name
            at = number * _CONTROL
            self._controls[at : at + len(control)] = control
            iov.length = len(frame)
            message.header.name_length = len(name)
            message.header.control_length = len(control)
        errors: list[int] = []
        while len(errors) < len(datagrams):
            first = ctypes.byref(self._messages, len(errors) * ctypes.sizeof(_Message))
            sent = self._sendmmsg(descriptor, first, len(datagrams) - len(errors), socket.MSG_DONTWAIT)
            # An error is that of the first in the call; those behind it are tried again without it.
            errors += [0] * sent if sent > 0 else [ctypes.get_errno() or errno.EIO]
        return errors

    def receive(self, descriptor: int, limit: int, flags: int = 0) -> Iterator[Received]:
        """Up to `limit` datagrams that wait."""
        while limit > 0:
            wanted = min(limit, BATCH)
            ctypes.memmove(self._messages, self._empty, len(self._empty))
            got = self._recvmmsg(descriptor, self._messages, wanted, flags | socket.MSG_DONTWAIT, None)
            for number in range(got):
                message = self._messages[number]
                frame, name, control = number * _FRAME, number * _NAME, number * _CONTROL
                yield (
                    self._frames[frame : frame + message.length],
                    self._names[name : name + message.header.name_length],
                    self._controls[control : control + message.header.control_length],
                )
            if got < wanted:
                return
            limit -= got


def ancillary(control: memoryview) -> Iterator[tuple[int, int, memoryview]]:
    """Level, type and data of each item of ancillary data (cmsg(3))."""
    at = 0
    while at + _CMSG.size <= len(control):
        length, level, cmsg_type = _CMSG.unpack_from(control, at)
        if length < _CMSG.size:
            return
        yield level, cmsg_type, control[at + _CMSG.size : at + length]
        at += (length + _ALIGN) & ~_ALIGN


def pack_ancillary(level: int, cmsg_type: int, data: bytes) -> bytes:
    """One item of ancillary data."""
    return _CMSG.pack(_CMSG.size + len(data), level, cmsg_type) + data + bytes(-len(data) & _ALIGN)
