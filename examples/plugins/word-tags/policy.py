"""Tags messages by a word list of regular expressions. README.md tells how to build and configure it."""

import json
import re
from typing import List, Tuple

import wit_world.exports
from componentize_py_types import Err
from wit_world.exports.lifecycle import PluginInfo, Problem
from wit_world.exports.message_policy import Decision, Edit_InsertHeader, Edit_RemoveHeader
from wit_world.exports.message_policy import HeaderOccurrence, NewHeader
from wit_world.imports import headers, parts
from wit_world.imports.types import Fact, FactValue_Number, FactValue_Texts, Verdict_Next

FIELD = "X-Tags"
# Bytes of each text part that are searched.
SEARCHED = 64 * 1024
TAG = re.compile(r"[a-z0-9-]{1,32}")

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["words"],
    "properties": {
        "words": {
            "description": "the word list: one rule a line, a tag and a regular expression",
            "type": "object",
            "required": ["file"],
            "properties": {"file": {"type": "string"}, "content": {"type": "string"}},
        }
    },
}

# Filled by `configure`; part of the snapshot that every message starts from.
rules: List[Tuple[str, "re.Pattern[str]"]] = []


class Lifecycle(wit_world.exports.Lifecycle):
    def describe(self) -> PluginInfo:
        return PluginInfo(
            name="word-tags",
            version="0.1.0",
            summary="Tags messages by a word list of regular expressions.",
            grants=["body"],
            config_schema=json.dumps(SCHEMA),
        )

    def configure(self, config: str) -> None:
        found, problems = read_rules(json.loads(config))
        if problems:
            raise Err(problems)
        rules.extend(found)


class MessagePolicy(wit_world.exports.MessagePolicy):
    def decide(self) -> Decision:
        text = "\n".join(message_texts())
        tags = sorted({tag for tag, pattern in rules if pattern.search(text)})
        # A tag that the sender wrote must not pass for ours.
        edits = [Edit_RemoveHeader(HeaderOccurrence(FIELD, 0))] if headers.count(FIELD) else []
        if tags:
            edits.append(Edit_InsertHeader(NewHeader(FIELD, ", ".join(tags))))
        facts = [Fact("tags", FactValue_Texts(tags)), Fact("count", FactValue_Number(float(len(tags))))]
        return Decision(Verdict_Next(), edits, facts)


def message_texts() -> List[str]:
    """The subject and the readable text parts, decoded."""
    bodies = [part for part in parts.all() if part.role == parts.PartRole.BODY and part.media_type.startswith("text/")]
    return headers.text("Subject") + [parts.text(part.id, SEARCHED) for part in bodies]


def read_rules(config: dict) -> Tuple[list, List[Problem]]:
    """The rules of the word list, and everything that is wrong with it."""
    words = config.get("words")
    if not isinstance(words, dict) or not isinstance(words.get("content"), str):
        return [], [Problem("/words", 'must be a UTF-8 text file, written { file = "…" }')]
    found, problems = [], []
    for number, line in enumerate(words["content"].splitlines(), start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        tag, _, expression = line.partition(" ")
        try:
            if not TAG.fullmatch(tag):
                raise ValueError(f"tag must be 1 to 32 of a-z, 0-9 and -, is {tag}")
            if not expression.strip():
                raise ValueError("has no regular expression after the tag")
            found.append((tag, re.compile(expression.strip(), re.IGNORECASE)))
        except (ValueError, re.error) as error:
            problems.append(Problem("/words", f"line {number}: {error}"))
    return found, problems
