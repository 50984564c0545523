"""Python's types into those of the generated bindings, `wit_world`. Only imported in a component."""

import importlib
from typing import Any

from .decision import Blob, Content, Decision, Edit, HookDecision, Reply
from .failure import Failure, MistakeError
from .message import FactValue


def _module(name: str) -> Any:
    try:
        return importlib.import_module(f"wit_world.{name}")
    except ImportError:
        return None  # nothing that the world exports needs it


_types = _module("imports.types")
_hooks = _module("imports.hook_types")
_policy = _module("exports.message_policy")
_lifecycle = _module("exports.lifecycle")


def info(plugin: Any, schema: str) -> Any:
    return _lifecycle.PluginInfo(
        name=plugin.name,
        version=plugin.version,
        summary=plugin.summary,
        licence=plugin.licence,
        home_page=plugin.home_page,
        grants=plugin.grants,
        config_schema=schema,
    )


def problem(path: str, message: str) -> Any:
    return _lifecycle.Problem(path, message)


def failure(told: Failure) -> Any:
    return _types.Failure(_types.FailureKind[told.kind.upper()], told.detail)


def decision(made: Decision) -> Any:
    edits = [_edit(edit) for edit in made.edits]
    return _policy.Decision(_verdict(_types, "Verdict", made), edits, _facts(made))


def hook_decision(made: HookDecision) -> Any:
    return _hooks.HookDecision(_verdict(_hooks, "HookVerdict", made), _facts(made))


def _verdict(module: Any, variant: str, made: HookDecision) -> Any:
    case = _case(module, variant, made.verdict)
    if isinstance(made.argument, Reply):
        return case(_types.Reply(made.argument.code, made.argument.enhanced, made.argument.text))
    return case() if made.argument is None else case(made.argument)


def _facts(made: HookDecision) -> Any:
    return [_types.Fact(name, _fact_value(name, value)) for name, value in made.facts.items()]


def _fact_value(name: str, value: FactValue) -> Any:
    if isinstance(value, bool):
        return _types.FactValue_Flag(value)
    if isinstance(value, (int, float)):
        return _types.FactValue_Number(float(value))
    if isinstance(value, str):
        return _types.FactValue_Text(value)
    if isinstance(value, (list, tuple, set, frozenset)):
        return _types.FactValue_Texts([str(text) for text in value])
    raise MistakeError(f"fact {name} must be a bool, a number, a text or a list of texts, not {type(value).__name__}")


def _edit(edit: Edit) -> Any:
    return _case(_policy, "Edit", edit.name)(_edit_value(edit.name, edit.value))


def _edit_value(name: str, value: Any) -> Any:
    if name in ("add-header", "insert-header"):
        return _policy.NewHeader(**value)
    if name == "replace-header":
        return _policy.HeaderReplacement(**value)
    if name == "remove-header":
        return _policy.HeaderOccurrence(**value)
    if name == "replace-part":
        return _policy.PartReplacement(value["part"], _new_part(value["replacement"]))
    if name == "add-part":
        return _new_part(value)
    if name in ("append-text", "prepend-text"):
        return _policy.Annotation(**value)
    if name == "replace-content":
        headers = [_policy.NewHeader(*header) for header in value["headers"]]
        return _policy.Entity(headers, _content(value["body"]))
    if name in ("set-sender", "add-recipient"):
        return _policy.NewAddress(**value)
    if name == "set-client":
        return _policy.NewClient(**value)
    return value


def _new_part(value: "dict[str, Any]") -> Any:
    return _policy.NewPart(**{**value, "content": _content(value["content"])})


def _content(content: Content) -> Any:
    if isinstance(content, Blob):
        return _policy.Content_Blob(content.id)
    return _policy.Content_Inline(content.encode() if isinstance(content, str) else bytes(content))


def _case(module: Any, variant: str, case: str) -> Any:
    """The generated class of a variant's case: Edit_AddHeader for `add-header`."""
    return getattr(module, f"{variant}_{case.title().replace('-', '')}")
