"""Network services that the administrator named and granted as `service:NAME`."""

import io
from typing import Any, Callable, TypeVar

from .failure import ServiceFailure
from .host import HostError, error_of, host

#: Bytes that are handed to the host in one call.
_PIECE = 64 * 1024

T = TypeVar("T")


class ServiceError(ServiceFailure):
    """A service could not be used. Left alone it becomes a failure of kind `service`.

    `reason` is one of `denied`, `unreachable`, `timed-out`, `closed`, `limit`.
    """

    def __init__(self, service: str, reason: str, detail: str = ""):
        super().__init__(f"service {service}: {reason}" + (f": {detail}" if detail else ""))
        self.service = service
        self.reason = reason


def connect(service: str) -> "Connection":
    """Opens a stream to a service. Use it in a `with`::

    with wasmilter.connect("clamd") as clamd:
        clamd.sendall(b"zPING\\0")
        answer = clamd.recv(64)
    """
    return Connection(service, _ask(service, lambda: host.services.open(service)))


class Connection(io.RawIOBase):
    """A stream of bytes, with the methods of a socket and of a binary file. Waiting ends at the host's time limits."""

    def __init__(self, service: str, connection: int):
        super().__init__()
        self.service = service
        self._connection = connection

    def sendall(self, data: "bytes | bytearray | memoryview") -> None:
        """Writes all bytes."""
        self._open()
        view = memoryview(data).cast("B")
        for start in range(0, len(view), _PIECE):
            self._write(bytes(view[start : start + _PIECE]))

    def recv(self, size: int = _PIECE) -> bytes:
        """At least one and at most `size` bytes (at most 65 536), waiting for them; none at the end of the stream."""
        self._open()
        return _ask(self.service, lambda: bytes(host.services.read(self._connection, min(size, _PIECE))))

    def finish(self) -> None:
        """Says that nothing more will be written."""
        self._open()
        _ask(self.service, lambda: host.services.finish(self._connection))

    def makefile(self) -> io.BufferedReader:
        """For reading by lines: `makefile().readline()`."""
        return io.BufferedReader(self)

    def close(self) -> None:
        if not self.closed:
            host.services.close(self._connection)
        super().close()

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.recv(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def write(self, data: Any) -> int:
        self.sendall(data)
        return len(data)

    def _write(self, piece: bytes) -> None:
        _ask(self.service, lambda: host.services.write(self._connection, piece))

    def _open(self) -> None:
        if self.closed:
            raise ServiceError(self.service, "closed")


def _ask(service: str, call: Callable[[], T]) -> T:
    try:
        return call()
    except HostError as error:
        raise ServiceError(service, *error_of(error)) from None
