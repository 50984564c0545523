"""Time of day and randomness: Python's own have neither a clock nor a source in a plugin."""

from datetime import datetime, timezone

from .host import host


def now() -> datetime:
    """The time, in UTC. Needs the grant `clock`. In place of `datetime.now()` and `time.time()`, which end the plugin."""
    return datetime.fromtimestamp(host.clock.now(), timezone.utc)


def random_bytes(length: int) -> bytes:
    """At most 4096 bytes fit for keys. Needs the grant `random`. `random` and `secrets` of Python are the same for every message."""
    return bytes(host.random.bytes(length))
