"""Makes Python say what a plugin can not do.

A plugin has no files, no clock and no standard output; without this, asking for one ends in a trap that says nothing.
Called when the component starts to work: while it is built, there are files, and modules are read from them.
"""

import builtins
import importlib.machinery
import io
import linecache
import logging
import os
import sys
import time
from typing import Any

from .failure import MistakeError
from .host import has, host

#: Whether the host may be told of log lines: not while the plugin describes or configures itself.
_judging = False


def enter(judging: bool) -> None:
    """Called at the begin of everything that the host asks for."""
    global _judging
    _judging = judging
    if builtins.open is not _no_files:
        _close()


def _close() -> None:
    builtins.open = io.open = _no_files
    # Tracebacks are written without the lines of the source.
    linecache.checkcache = lambda *_: None
    linecache.updatecache = lambda *_: []
    sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not importlib.machinery.PathFinder] + [_Late()]
    # The C functions, which datetime.now() and secrets use, can not be reached from here.
    time.time = time.monotonic = time.perf_counter = _time
    time.time_ns = time.monotonic_ns = time.perf_counter_ns = lambda: int(_time() * 1e9)
    os.urandom = _urandom
    # Records bear a time that nobody sees.
    logging.time = _LoggingTime  # type: ignore[attr-defined]
    logging.raiseExceptions = False
    logging.getLogger().addHandler(_Handler())
    if logging.getLogger().level == logging.WARNING:
        logging.getLogger().setLevel(logging.INFO)
    sys.stdout, sys.stderr = _Lines("info"), _Lines("warn")


class CannotError(MistakeError, OSError):
    """A plugin can not do that."""


def _no_files(*_: Any, **__: Any) -> Any:
    raise CannotError("a plugin has no files; they come with the configuration, or are read while the plugin is built")


def _time() -> float:
    return float(host.clock.now())


def _urandom(size: int) -> bytes:
    return bytes(host.random.bytes(size))


class _LoggingTime:
    time = staticmethod(lambda: 0.0)
    time_ns = staticmethod(lambda: 0)


class LateImportError(MistakeError, ImportError):
    """A module that was not imported when the component was built."""


class _Late:
    """The last of the finders."""

    def find_spec(self, name: str, *_: Any) -> None:
        if name.partition(".")[0] in sys.builtin_module_names:
            return
        raise LateImportError(
            f"{name} must be imported at the top of a module: later, a plugin has no files to import from"
        )


class _Handler(logging.Handler):
    """Writes to the host's log, which adds time, stage and the message's ids."""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.exc_info and record.exc_info[0]:
            text += f" ({record.exc_info[0].__name__})"
        level = "error" if record.levelno >= logging.ERROR else "warn" if record.levelno >= logging.WARNING else "info"
        _write("debug" if record.levelno < logging.INFO else level, text)


class _Lines(io.TextIOBase):
    """Standard output or standard error: every line is a line of the log."""

    def __init__(self, level: str):
        super().__init__()
        self._level = level
        self._begun = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            _write(self._level, line)
        return len(text)


def _write(level: str, text: str) -> None:
    if _judging and has("log"):
        host.log.write(getattr(host.log.Level, level.upper()), text)
