"""Time of day and randomness: Python's own have neither a clock nor a source in a plugin."""

from datetime import datetime, timezone

from .host import host


def now() -> datetime:
    """The time, in UTC. Needs the grant `clock`. `datetime.now()` does not work in a plugin."""
    return datetime.fromtimestamp(host.clock.now(), timezone.utc)


def random_bytes(length: int) -> bytes:
    """At most 4096 bytes fit for keys. Needs the grant `random`.

    Python's own `random` gives the same numbers for every message.
    """
    return bytes(host.random.bytes(length))
