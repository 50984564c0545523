"""The interfaces of the contract that the project's world imports, as modules of functions.

In a component they are the generated modules `wit_world.imports.*`; they are looked for now, while the component is
built: afterwards there are no files to import from. In tests, `wasmilter.testing` puts doubles in their place.
"""

import importlib
from types import SimpleNamespace
from typing import Any

from .failure import MistakeError

INTERFACES = (
    "client",
    "envelope",
    "headers",
    "parts",
    "raw",
    "facts",
    "output",
    "services",
    "dns",
    "store",
    "clock",
    "random",
    "log",
)


class NotImported(MistakeError):
    """The plugin used an interface that its world does not import."""


class _Missing:
    """In the place of an interface that the world does not import."""

    def __init__(self, interface: str):
        self._interface = interface

    def __getattr__(self, function: str) -> Any:
        line = f"import wasmilter:policy/{self._interface}@1.0.0;"
        raise NotImported(f"{self._interface} is not imported: add `{line}` to wit/world.wit")


def _found(interface: str) -> Any:
    try:
        return importlib.import_module(f"wit_world.imports.{interface}")
    except ImportError:
        return _Missing(interface)


#: What the layer calls: `host.headers.all()`.
host: Any = SimpleNamespace(**{interface: _found(interface) for interface in INTERFACES})


def has(interface: str) -> bool:
    """Whether the world imports it."""
    return not isinstance(getattr(host, interface), _Missing)


def error_of(error: Exception) -> "tuple[str, str]":
    """Kind and detail of the error that a function of the contract ended with: (`timed-out`, ``)."""
    value = getattr(error, "value", None)
    # Generated classes are named after variant and case: ServiceError_TimedOut.
    case = type(value).__name__.partition("_")[2]
    kind = "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in case).strip("-")
    return kind or "failed", str(getattr(value, "value", ""))


def _err() -> "type[Exception]":
    try:
        return importlib.import_module("componentize_py_types").Err  # type: ignore[no-any-return]
    except ImportError:  # not in a component
        return _NoHostError


class _NoHostError(Exception):
    """Outside of a component there is no such error."""


#: What a function of the contract ends with instead of a result.
HostError = _err()
