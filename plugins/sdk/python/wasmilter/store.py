"""What a plugin remembers from one message to the next. Needs the grant `store`, or `store:NAME` to share it."""

from typing import Callable, Optional, TypeVar

from .failure import ServiceFailure
from .host import HostError, error_of, host

T = TypeVar("T")


class StoreError(ServiceFailure):
    """The store could not be used. Left alone it becomes a failure of kind `service`.

    `reason` is `unavailable` or `limit`: a key above 512 bytes, a value above 65 536, too many entries or calls.
    """

    def __init__(self, reason: str, detail: str = ""):
        super().__init__(f"store: {reason}" + (f": {detail}" if detail else ""))
        self.reason = reason


class Store:
    """Keys with values that expire. Counters and values have key spaces of their own."""

    def get(self, key: str) -> Optional[bytes]:
        """The value; None when there is none, or it has expired."""
        value = _ask(lambda: host.store.get(key))
        return None if value is None else bytes(value)

    def set(self, key: str, value: bytes, seconds: int) -> None:
        """Sets a value that expires after that many seconds (at least 1, at most 31 622 400)."""
        _ask(lambda: host.store.set(key, bytes(value), seconds))

    def remove(self, key: str) -> None:
        """Removes a value or a counter; it need not exist."""
        _ask(lambda: host.store.remove(key))

    def add(self, key: str, amount: int = 1, *, seconds: int) -> int:
        """Adds to a counter in one step and gives the new value.

        A counter that does not exist begins at 0 and lives for that many seconds, whatever is added later: a fixed
        window. With 0 to add it is read without being made.
        """
        return _ask(lambda: int(host.store.add(key, amount, seconds)))


#: The store of this stage.
store = Store()


def _ask(call: Callable[[], T]) -> T:
    try:
        return call()
    except HostError as error:
        raise StoreError(*error_of(error)) from None
