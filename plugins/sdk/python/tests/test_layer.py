"""The layer against its double of the host."""

from dataclasses import dataclass, field
from typing import Literal, Optional

import pytest

import wasmilter
from wasmilter import Decision, HookDecision, Message, Policy, Problem
from wasmilter.config import schema
from wasmilter.failure import failure_of
from wasmilter.policy import the_plugin
from wasmilter.testing import Transaction, mailbox, problems

MIXED = b"""From: =?utf-8?q?J=C3=BCrgen?= <juergen@Example.NET>
Subject: =?utf-8?q?caf=C3=A9?=
X-Many: one
X-Many: two
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="cut"

--cut
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

caf=E9
--cut
Content-Type: application/pdf; name="a.pdf"
Content-Disposition: attachment; filename="a.pdf"
Content-Transfer-Encoding: base64

aGVsbG8gd29ybGQ=
--cut--
"""


@dataclass
class Limits:
    number: int = 3
    share: float = 0.5


@dataclass
class Config:
    words: "list[str]" = field(metadata={"description": "what is looked for", "minItems": 1})
    mode: Literal["tag", "refuse"] = "tag"
    limits: Limits = field(default_factory=Limits)
    names: "dict[str, str]" = field(default_factory=dict)
    listed: Optional[wasmilter.File] = None


def policy_of(decide, *, config=None, configure=None):
    """Registers a plugin with that `decide`."""

    @wasmilter.plugin(name="test", version="1.0.0", summary="Tests.", config=config)
    class Test(Policy):
        def configure(self):
            return configure(self) if configure else None

        def decide(self, message: Message) -> Decision:
            return decide(self, message)

    return Test


def test_reads_the_message():
    seen = {}

    def decide(policy, message):
        seen["from"] = message.headers.addresses("from")
        seen["subject"] = message.subject
        seen["many"] = message.headers.get_all("x-many"), message.headers.raw("X-Many"), message.headers.count("X-MANY")
        seen["none"] = message.headers.get("X-None", "nothing"), "X-None" in message.headers
        seen["texts"] = [part.text() for part in message.texts]
        seen["files"] = [(part.file_name, part.open().read(), part.size) for part in message.attachments]
        seen["kinds"] = [(part.kind, part.role) for part in message.parts]
        seen["envelope"] = message.sender.domain, [recipient.local for recipient in message.recipients]
        seen["client"] = message.client.address
        seen["fact"] = message.facts["spam.score"], message.facts.get("spam.none"), "spam.none" in message.facts
        seen["lines"] = message.open().readline()
        return Decision.next()

    policy_of(decide)
    Transaction(MIXED, sender="a@B.example", recipients=["c@d.example"], facts={"spam.score": 7.0}).decide()
    assert [(address.name, address.address, address.domain) for address in seen["from"]] == [
        ("Jürgen", "juergen@Example.NET", "example.net")
    ]
    assert seen["subject"] == "café"
    assert seen["many"] == (["one", "two"], [b" one", b" two"], 2)
    assert seen["none"] == ("nothing", False)
    assert seen["texts"] == ["café"]
    assert seen["files"] == [("a.pdf", b"hello world", 11)]
    assert seen["kinds"] == [("multipart", "container"), ("leaf", "body"), ("leaf", "attachment")]
    assert seen["envelope"] == ("b.example", ["c"])
    assert seen["client"] == "192.0.2.1"
    assert seen["fact"] == (7.0, None, False)
    assert seen["lines"].startswith(b"From: ") and seen["lines"].endswith(b"\r\n")


def test_files_can_be_sought():
    def decide(policy, message):
        file = message.attachments[0].open()
        assert (file.read(5), file.seek(-5, 2), file.read()) == (b"hello", 6, b"world")
        return Decision.next()

    policy_of(decide)
    assert Transaction(MIXED).decide().verdict == "next"


def test_decisions_are_built():
    made = (
        Decision.reject("no", code=554, enhanced="5.7.1")
        .fact("score", 3)
        .add_header("A", "b")
        .remove_header("C")
        .set_subject("ü")
        .prepend_text("plain", "<p>html</p>")
        .add_part("text/plain", "x", file_name="x.txt")
        .set_client("192.0.2.9", hostname="h")
    )
    assert (made.verdict, made.argument) == ("reject", wasmilter.Reply(554, "5.7.1", "no"))
    assert made.facts == {"score": 3}
    assert [edit.name for edit in made.edits] == [
        "add-header",
        "remove-header",
        "set-subject",
        "prepend-text",
        "add-part",
        "set-client",
    ]
    assert made.edits[1].value == {"name": "C", "occurrence": 0}
    assert not hasattr(HookDecision.next(), "add_header"), "hooks can not edit"


def test_configurations_are_read_and_all_mistakes_told():
    read = {}

    def configure(policy):
        read["config"] = policy.config
        if policy.config.limits.number < 1:
            return [Problem("/limits/number", "must be above 0")]

    policy_of(lambda policy, message: Decision.next(), config=Config, configure=configure)
    listed = {"file": "/words", "content": "ä"}
    assert problems({"words": ["a"], "limits": {"share": 1}, "names": {"x": "y"}, "listed": listed}) == []
    assert read["config"].limits == Limits(3, 1.0)
    assert (read["config"].listed.text, read["config"].names) == ("ä", {"x": "y"})
    assert problems({"words": ["a"], "limits": {"number": 0}}) == [Problem("/limits/number", "must be above 0")]
    assert problems({"mode": "other", "limits": {"number": "x"}, "wrods": 1, "listed": 3}) == [
        Problem("/limits/number", "must be an integer, is 'x'"),
        Problem("/listed", 'must be a file, written { file = "…" }'),
        Problem("/mode", "must be one of 'tag', 'refuse', is 'other'"),
        Problem("/words", "is missing"),
        Problem("/wrods", "is not known; there are words, mode, limits, names, listed"),
    ]
    assert [problem.path for problem in problems({"words": ["a", 1, True]})] == ["/words/1", "/words/2"]


def test_schema_is_made_of_the_dataclass():
    assert schema(Config) == {
        "type": "object",
        "additionalProperties": False,
        "required": ["words"],
        "properties": {
            "words": {
                "type": "array",
                "items": {"type": "string"},
                "description": "what is looked for",
                "minItems": 1,
            },
            "mode": {"enum": ["tag", "refuse"], "default": "tag"},
            "limits": {
                "type": "object",
                "additionalProperties": False,
                "required": [],
                "properties": {
                    "number": {"type": "integer", "default": 3},
                    "share": {"type": "number", "default": 0.5},
                },
            },
            "names": {"type": "object", "additionalProperties": {"type": "string"}},
            "listed": {"type": "object", "required": ["file"], "properties": {"file": {"type": "string"}}},
        },
    }


def test_exceptions_become_failures_that_do_not_quote_the_message():
    def decide(policy, message):
        raise ValueError(f"bad subject {message.subject}")

    policy_of(decide)
    plugin = the_plugin()
    with Transaction(MIXED).at_hand():
        assert plugin.configure("{}") == []
        with pytest.raises(wasmilter.Failure) as told:
            plugin.decide()
    line = decide.__code__.co_firstlineno + 1
    assert (told.value.kind, told.value.detail) == ("internal", f"ValueError at test_layer.py:{line}")


def test_a_forgotten_return_is_a_failure():
    policy_of(lambda policy, message: None)
    plugin = the_plugin()
    with Transaction().at_hand():
        plugin.configure("{}")
        with pytest.raises(wasmilter.Failure, match="must return a Decision, not NoneType"):
            plugin.decide()


def test_an_exception_in_configure_is_a_problem():
    policy_of(lambda policy, message: Decision.next(), configure=lambda policy: 1 / 0)
    (problem,) = problems({})
    assert problem.message.startswith("ZeroDivisionError at test_layer.py:")


def test_services_are_streams():
    def decide(policy, message):
        with wasmilter.connect("lines") as lines:
            lines.sendall(b"hello\n")
            lines.finish()
            answer = lines.makefile().readline()
        return Decision.next().fact("answer", answer.decode().strip())

    policy_of(decide)
    transaction = Transaction(services={"lines": b"one\ntwo\n"})
    assert transaction.decide().facts == {"answer": "one"}
    assert transaction.written == {"lines": b"hello\n"}
    with pytest.raises(wasmilter.ServiceError) as refused:
        Transaction().decide()
    assert (refused.value.reason, refused.value.kind) == ("denied", "service")
    assert failure_of(refused.value, "/").detail == "service lines: denied"


def test_dns_store_clock_and_random():
    def decide(policy, message):
        mail = wasmilter.mail_exchangers("example.org")[0]
        return (
            Decision.next()
            .fact("addresses", wasmilter.addresses("example.org"))
            .fact("none", wasmilter.texts("example.org"))
            .fact("mail", f"{mail.preference} {mail.host}")
            .fact("count", wasmilter.store.add("k", seconds=60))
            .fact("kept", wasmilter.store.get("v") is None)
            .fact("year", wasmilter.now().year)
            .fact("random", len(wasmilter.random_bytes(16)))
        )

    policy_of(decide)
    answers = {
        "addresses": {"example.org": ["192.0.2.7"]},
        "mail_exchangers": {"example.org": [wasmilter.MailExchanger(10, "mx.example.org")]},
    }
    assert Transaction(dns=answers, store={"k": 4}).decide().facts == {
        "addresses": ["192.0.2.7"],
        "none": [],
        "mail": "10 mx.example.org",
        "count": 5,
        "kept": True,
        "year": 2027,
        "random": 16,
    }
    with pytest.raises(wasmilter.DnsError):
        Transaction(dns={"mail_exchangers": {"example.org": None}}).decide()


def test_what_the_world_does_not_import_is_told():
    policy_of(lambda policy, message: Decision.next().fact("x", wasmilter.addresses("example.org")))
    plugin = the_plugin()
    plugin.configure("{}")
    with pytest.raises(wasmilter.Failure) as told:
        plugin.decide()
    assert "add `import wasmilter:policy/dns@1.0.0;` to wit/world.wit" in told.value.detail


def test_hooks():
    @wasmilter.plugin(name="test", version="1.0.0", summary="Tests.")
    class Test(Policy):
        def rcpt(self, message, recipient):
            if recipient.domain == "example.org":
                return HookDecision.tempfail("later").fact("seen", True)
            return HookDecision.next()

    assert Transaction().hook("rcpt", mailbox("a@Example.org")).verdict == "tempfail"
    assert Transaction().hook("rcpt", mailbox("a@example.com")).verdict == "next"


def test_large_content_is_written_in_pieces():
    def decide(policy, message):
        blob = wasmilter.Blob()
        blob.write(b"x" * 200_000)
        blob.write_entity(0)
        assert len(wasmilter.host.host.output.blobs[blob.id]) > 200_000
        return Decision.next().replace_content([("Content-Type", "text/plain")], blob)

    policy_of(decide)
    assert Transaction(MIXED).decide().edits[0].name == "replace-content"
