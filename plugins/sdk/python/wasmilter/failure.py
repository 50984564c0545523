"""Why a plugin could not decide."""

import os
from types import TracebackType
from typing import Iterator, Optional

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


class MistakeError(Exception):
    """A mistake of the plugin that the layer found. Its text quotes names of the plugin, never the message."""


def failure_of(error: BaseException, folder: str) -> Failure:
    """What the host is told of an exception that left a policy whose source is in `folder`.

    The text of an exception is left out, unless the layer wrote it: it may quote the message.
    """
    if isinstance(error, Failure):
        return error
    text = f": {error}" if isinstance(error, MistakeError) else ""
    return Failure(f"{type(error).__name__}{place_of(error.__traceback__, folder)}{text}")


def place_of(trace: Optional[TracebackType], folder: str) -> str:
    """` at policy.py:42`: the innermost line in `folder`, otherwise the innermost outside this layer."""
    lines = [(file, line) for file, line in _lines(trace) if not _inside(file, _HERE)]
    own = [(file, line) for file, line in lines if _inside(file, folder)]
    if not lines:
        return ""
    file, line = (own or lines)[-1]
    return f" at {os.path.basename(file)}:{line}"


def _lines(trace: Optional[TracebackType]) -> Iterator["tuple[str, int]"]:
    # Not the module traceback: it reads source files, and a plugin has no files.
    while trace is not None:
        yield trace.tb_frame.f_code.co_filename, trace.tb_lineno
        trace = trace.tb_next


def _inside(file: str, folder: str) -> bool:
    return file.startswith(folder.rstrip("/") + "/")
