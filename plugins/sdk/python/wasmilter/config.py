"""The stage's configuration: read into a dataclass, with every mistake reported at once, and its JSON Schema.

Types that are understood: bool, int, float, str, Literal, list, dict with str keys, Optional, dataclasses, `File`,
`Directory`. A field's metadata goes into the schema as it is: `field(default=5, metadata={"minimum": 0})`. Types are
checked here; limits by the host, which holds the configuration against the schema.
"""

import base64
import dataclasses
import types
import typing
from dataclasses import dataclass
from typing import Any, Iterable, Mapping


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a configuration."""

    #: Where, as a JSON pointer: `/thresholds/reject`. Empty: the whole.
    path: str
    #: What is wrong, the value, what is allowed; lower case, no full stop: `must be above 0, is -3`.
    message: str


@dataclass(frozen=True)
class File:
    """A file, which the administrator writes as `{ file = "/path" }`."""

    name: str
    data: bytes

    @property
    def text(self) -> str:
        """Its text; UnicodeDecodeError when it is not UTF-8."""
        return self.data.decode()

    @staticmethod
    def of(value: Any) -> "File":
        """Of what the host puts in its place; ValueError when it is something else."""
        if isinstance(value, dict):
            name = value.get("file", value.get("name", ""))
            if isinstance(value.get("content"), str):
                return File(str(name), value["content"].encode())
            if isinstance(value.get("base64"), str):
                return File(str(name), base64.b64decode(value["base64"]))
        raise ValueError('must be a file, written { file = "…" }')


@dataclass(frozen=True)
class Directory:
    """A directory, which the administrator writes as `{ directory = "/path" }`; its files sorted by name."""

    name: str
    files: "tuple[File, ...]"

    @staticmethod
    def of(value: Any) -> "Directory":
        """Of what the host puts in its place; ValueError when it is something else."""
        if isinstance(value, dict) and isinstance(value.get("files"), list):
            return Directory(str(value.get("directory", "")), tuple(File.of(file) for file in value["files"]))
        raise ValueError('must be a directory, written { directory = "…" }')


def read(wanted: Any, value: Any, problems: "list[Problem]", path: str = "") -> Any:
    """`value` as the type `wanted`; what is wrong goes to `problems`."""
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if wanted is Any:
        return value
    if wanted in (File, Directory):
        try:
            return wanted.of(value)
        except ValueError as error:
            problems.append(Problem(path, str(error)))
            return None
    if dataclasses.is_dataclass(wanted):
        return _read_dataclass(wanted, value, problems, path)
    if origin in (typing.Union, types.UnionType):
        inner = [argument for argument in arguments if argument is not type(None)]
        return None if value is None else read(inner[0], value, problems, path)
    if origin is typing.Literal:
        if value not in arguments:
            problems.append(Problem(path, f"must be one of {', '.join(map(repr, arguments))}, is {value!r}"))
        return value
    if origin is list and isinstance(value, list):
        return [read(arguments[0], item, problems, f"{path}/{index}") for index, item in enumerate(value)]
    if origin is dict and isinstance(value, dict):
        return {key: read(arguments[1], item, problems, _below(path, key)) for key, item in value.items()}
    if wanted is float and type(value) is int:
        return float(value)
    if type(value) is not (origin or wanted):
        problems.append(Problem(path, f"must be {_NAMES.get(origin or wanted, wanted)}, is {value!r}"))
    return value


def schema(wanted: Any) -> "dict[str, Any]":
    """JSON Schema of a type."""
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if wanted is Any:
        return {}
    if wanted is File:
        return {"type": "object", "required": ["file"], "properties": {"file": {"type": "string"}}}
    if wanted is Directory:
        return {"type": "object", "required": ["directory"], "properties": {"directory": {"type": "string"}}}
    if dataclasses.is_dataclass(wanted):
        return _dataclass_schema(wanted)
    if origin in (typing.Union, types.UnionType):
        return schema(next(argument for argument in arguments if argument is not type(None)))
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if origin is list:
        return {"type": "array", "items": schema(arguments[0])}
    if origin is dict:
        return {"type": "object", "additionalProperties": schema(arguments[1])}
    if wanted in _SCHEMA_TYPES:
        return {"type": _SCHEMA_TYPES[wanted]}
    raise TypeError(f"{wanted!r} can not stand in a configuration")


_NAMES: "Mapping[Any, str]" = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "a table",
}
_SCHEMA_TYPES: "Mapping[Any, str]" = {bool: "boolean", int: "integer", float: "number", str: "string"}


def _read_dataclass(wanted: Any, value: Any, problems: "list[Problem]", path: str) -> Any:
    if not isinstance(value, dict):
        problems.append(Problem(path, f"must be a table, is {value!r}"))
        return None
    hints = typing.get_type_hints(wanted)
    fields = {field.name: field for field in dataclasses.fields(wanted) if field.init}
    known = {name: name for name in fields}
    for key in value.keys() - known.keys():
        problems.append(Problem(_below(path, key), f"is not known; there are {', '.join(known)}"))
    before = len(problems)
    found = {}
    for key, name in known.items():
        if key in value:
            found[name] = read(hints[name], value[key], problems, _below(path, key))
        elif _required(fields[name]):
            problems.append(Problem(_below(path, key), "is missing"))
    return wanted(**found) if len(problems) == before else None


def _dataclass_schema(wanted: Any) -> "dict[str, Any]":
    hints = typing.get_type_hints(wanted)
    fields = [field for field in dataclasses.fields(wanted) if field.init]
    properties = {}
    for field in fields:
        properties[field.name] = {**schema(hints[field.name]), **field.metadata}
        if isinstance(field.default, (bool, int, float, str)):
            properties[field.name].setdefault("default", field.default)
    required = [field.name for field in fields if _required(field)]
    return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}


def _required(field: "dataclasses.Field[Any]") -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _below(path: str, key: str) -> str:
    return f"{path}/{key.replace('~', '~0').replace('/', '~1')}"


def sorted_by_place(problems: Iterable[Problem]) -> "list[Problem]":
    """In the order in which an author would look for them."""
    return sorted(problems, key=lambda problem: problem.path)
