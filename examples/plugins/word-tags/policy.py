"""Tags messages by lists of regular expressions. README.md tells how to configure it."""

import html
import re
from dataclasses import dataclass, field
from typing import Iterator, Optional

import wasmilter
from wasmilter import Decision, File, Message, Part, Policy, Problem

TAG = re.compile(r"[a-z0-9-]{1,32}")
HEADER = re.compile(r"[!-9;-~]{1,76}")
# What is between tags of HTML, and what is in these elements, nobody reads.
UNREAD = re.compile(r"<(style|script|head)\b.*?</\1\s*>|<!--.*?-->|<[^>]*>", re.IGNORECASE | re.DOTALL)


@dataclass
class Config:
    """`[stage.config]`"""

    words: Optional[File] = field(
        default=None, metadata={"description": "word list: a rule a line, a tag and a regular expression"}
    )
    rules: dict[str, list[str]] = field(
        default_factory=dict, metadata={"description": "rules by tag: lists of regular expressions"}
    )
    header: str = field(default="X-Tags", metadata={"description": "the header field that the tags are written to"})
    searched: int = field(
        default=65_536, metadata={"description": "bytes of each text part that are searched", "minimum": 1}
    )


@wasmilter.plugin(
    name="word-tags",
    version="1.0.0",
    summary="Tags messages by lists of regular expressions",
    grants=["headers", "text"],
    licence="Apache-2.0",
    config=Config,
)
class WordTags(Policy[Config]):
    def configure(self) -> list[Problem]:
        self.rules: list[tuple[str, re.Pattern[str]]] = []
        problems = []
        for path, place, tag, expression in rules_of(self.config):
            try:
                self.rules.append((tag, compiled(tag, expression)))
            except ValueError as error:
                problems.append(Problem(path, f"{place}{error}"))
        if not self.rules and not problems:
            problems.append(Problem("", "has no rule: there must be one in words or rules"))
        if not HEADER.fullmatch(self.config.header):
            problems.append(Problem("/header", f"must be the name of a header field, is {self.config.header!r}"))
        return problems

    def decide(self, message: Message) -> Decision:
        texts = [message.subject, *(readable(part, self.config.searched) for part in message.texts)]
        tags = sorted({tag for tag, pattern in self.rules if any(map(pattern.search, texts))})
        decision = Decision.next().fact("tags", tags).fact("count", len(tags))
        # A tag that the sender wrote must not pass for ours.
        if self.config.header in message.headers:
            decision.remove_header(self.config.header)
        if tags:
            decision.insert_header(self.config.header, ", ".join(tags))
        return decision


def rules_of(config: Config) -> Iterator[tuple[str, str, str, str]]:
    """Tag and expression of every rule, with where it stands: a JSON pointer, and what goes before what is wrong with it."""
    for tag, expressions in config.rules.items():
        for at, expression in enumerate(expressions):
            yield f"/rules/{tag}/{at}", "", tag, expression
    if config.words is None:
        return
    for number, line in enumerate(config.words.data.decode(errors="replace").splitlines(), start=1):
        tag, _, expression = line.strip().partition(" ")
        if tag and not tag.startswith("#"):
            yield "/words", f"line {number}: ", tag, expression.strip()


def compiled(tag: str, expression: str) -> re.Pattern[str]:
    """The expression; ValueError with what is wrong with the rule."""
    if not TAG.fullmatch(tag):
        raise ValueError(f"the tag must be 1 to 32 of a-z, 0-9 and -, is {tag!r}")
    if not expression:
        raise ValueError(f"there is no regular expression for the tag {tag}")
    try:
        return re.compile(expression, re.IGNORECASE)
    except re.error as error:
        raise ValueError(f"the regular expression {expression!r} does not work: {error}") from error


def readable(part: Part, limit: int) -> str:
    """The part's text as people read it."""
    text = part.text(limit)
    return html.unescape(UNREAD.sub(" ", text)) if part.media_type == "text/html" else text
