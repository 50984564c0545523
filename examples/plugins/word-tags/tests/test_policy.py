"""The policy without the host; whole messages through the host are in `cases/`."""

from typing import Any

import policy  # noqa: F401  registers the plugin
from wasmilter.testing import Transaction, problems

RULES = {"rules": {"money": [r"\binvoices?\b", r"€\s*\d"], "press": [r"\bpress release\b"]}}


def tags(message: str, config: Any = RULES) -> Any:
    return Transaction(message.encode(), config=config).decide().facts["tags"]


def test_searches_subject_and_text_without_regard_to_case() -> None:
    assert tags("Subject: INVOICE 7\n\nHello") == ["money"]
    assert tags("Content-Type: text/plain; charset=utf-8\n\nOur Press Release, \u20ac 9\n") == ["money", "press"]
    assert tags("Subject: Hello\n\nHello") == []


def test_reads_html_as_people_do() -> None:
    head = "Content-Type: text/html; charset=utf-8\n\n"
    assert tags(head + "<p>an <b>in</b>voice, press&nbsp;release</p>") == []
    assert tags(head + "<p>an <b>invoice</b>, press&#32;release</p>") == ["money", "press"]
    assert tags(head + "<style>.invoice {}</style><p class='invoice'>Hello</p><!-- invoice -->") == []


def test_attachments_are_not_searched() -> None:
    assert tags("Content-Type: text/plain\nContent-Disposition: attachment; filename=a.txt\n\ninvoice") == []


def test_tags_of_the_sender_go() -> None:
    decision = Transaction(b"X-Tags: trusted\n\nHello", config=RULES).decide()
    assert [edit.name for edit in decision.edits] == ["remove-header"]


def test_a_word_list_has_comments_and_empty_lines() -> None:
    words = {"file": "words.txt", "content": "# tag  expression\n\npress \\bpress release\\b\nmoney  invoice\n"}
    assert tags("Subject: invoice\n\nx", {"words": words}) == ["money"]


def test_finds_all_mistakes() -> None:
    words = {"file": "words.txt", "content": "ok  fine\nBad  x\nempty\n"}
    found = problems({"words": words, "rules": {"a": ["("]}, "header": "X Tags"})
    assert [(problem.path, problem.message.partition(":")[0]) for problem in found] == [
        ("/header", "must be the name of a header field, is 'X Tags'"),
        ("/rules/a/0", "the regular expression '(' does not work"),
        ("/words", "line 2"),
        ("/words", "line 3"),
    ]
    assert [problem.message for problem in problems({})] == ["has no rule: there must be one in words or rules"]
