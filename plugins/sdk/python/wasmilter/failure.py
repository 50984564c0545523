"""Why a plugin could not decide."""

import os
import traceback
from types import TracebackType
from typing import Optional

#: Where the layer itself is; its frames say nothing to an author.
_HERE = os.path.dirname(__file__)


class Failure(Exception):
    """Raise it in `decide` or a hook to say "I could not decide". The stage's `on_failure` says what then happens.

    `detail` goes to the log: what was being done, to what, what went wrong; no message content, no secrets.
    """

    kind = "internal"

    def __init__(self, detail: str):
        super().__init__(detail)
        self.detail = detail


class ServiceFailure(Failure):
    """A service that the plugin needs did not answer, or not sensibly."""

    kind = "service"


class Unsupported(Failure):
    """The message is beyond what the plugin can handle."""

    kind = "unsupported"


def failure_of(error: Exception, folder: str) -> Failure:
    """What the host is told of an exception that left the policy, whose source is in `folder`.

    The exception's text is left out: it may quote the message.
    """
    if isinstance(error, Failure):
        return error
    # Text that the layer itself made quotes names of the plugin, never the message.
    detail = f": {error}" if getattr(error, "tellable", False) else ""
    return Failure(f"{type(error).__name__}{_place(error.__traceback__, folder)}{detail}")


def _place(trace: Optional[TracebackType], folder: str) -> str:
    """` at policy.py:42`: the innermost line of the author's own, or the innermost of all."""
    frames = [frame for frame in traceback.extract_tb(trace, limit=None) if not _inside(frame.filename, _HERE)]
    if not frames:
        return ""
    own = [frame for frame in frames if _inside(frame.filename, folder)]
    frame = (own or frames)[-1]
    return f" at {os.path.basename(frame.filename)}:{frame.lineno}"


def _inside(file: str, folder: str) -> bool:
    return file.startswith(folder.rstrip("/") + "/")
