"""The policy without the host: `pip install pytest`, then `pytest`. Whole messages through the host are in `cases/`."""

import policy  # noqa: F401  registers the plugin
from wasmilter.testing import Transaction, problems

CONFIG = {"phrases": ["won the lottery"]}


def test_rejects_a_phrase() -> None:
    decision = Transaction(b"Subject: You WON the lottery\n\nHello", config=CONFIG).decide()
    assert decision.verdict == "reject"
    assert decision.facts == {"phrase": "won the lottery"}


def test_marks_the_rest() -> None:
    decision = Transaction(b"Subject: Lunch?\n\nHello", config=CONFIG).decide()
    assert [edit.name for edit in decision.edits] == ["add-header"]


def test_finds_all_mistakes_of_the_configuration() -> None:
    assert [problem.path for problem in problems({"phrases": ["", "x", " "]})] == ["/phrases/0", "/phrases/2"]
