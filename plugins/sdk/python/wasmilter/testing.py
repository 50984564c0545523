"""Try a policy without the host: the message is a double made of an `.eml`. Not part of the component.

::

    import policy
    from wasmilter.testing import Transaction

    def test_refuses_phrases():
        message = Transaction(b"Subject: won the lottery\\r\\n\\r\\nhello", config={"phrases": ["lottery"]})
        assert message.decide().verdict == "reject"

The double has all interfaces, whatever `wit/world.wit` names, and is no judge of what the host refuses: for that, there
are the cases (`wasmilter plugin test`).
"""

import email
import email.header
import email.policy
import email.utils
import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from types import SimpleNamespace
from typing import Any, Iterator, Mapping, Optional, Sequence

from .config import Problem
from .decision import Decision, HookDecision
from .dns import DnsError, MailExchanger
from .host import INTERFACES, host
from .message import Address, Client, FactValue, HeaderField, Kind, Mailbox, Message, Role
from .policy import the_plugin
from .service import ServiceError


def problems(config: Any) -> "list[Problem]":
    """What the plugin finds wrong with a configuration."""
    return the_plugin().configure(json.dumps(config))


@dataclass
class Transaction:
    """A message and all that surrounds it."""

    #: Header fields, an empty line, body; line ends may be LF.
    message: bytes = b"\n"
    config: Any = field(default_factory=dict)
    client: Client = Client(address="192.0.2.1")
    sender: str = "sender@example.net"
    recipients: Sequence[str] = ("recipient@example.org",)
    #: Facts of stages before, by full name.
    facts: "Mapping[str, FactValue]" = field(default_factory=dict)
    #: By name, what a service answers, whatever it is asked; others are not granted.
    services: "Mapping[str, bytes]" = field(default_factory=dict)
    #: Answers of the domain name system by kind and name: `{"addresses": {"example.org": ["192.0.2.7"]}}`; the kinds
    #: are `addresses`, `texts`, `mail_exchangers` (of `MailExchanger`) and `names`. Others have no records; None in
    #: place of a list: the question fails.
    dns: "Mapping[str, Mapping[str, Optional[Sequence[Any]]]]" = field(default_factory=dict)
    #: What the store holds: bytes are values, integers counters. Nothing expires.
    store: "dict[str, bytes | int]" = field(default_factory=dict)
    #: Seconds since 1970.
    now: float = 1_800_000_000.0
    #: What the plugin wrote to the host's log itself, and to services.
    written: "dict[str, bytes]" = field(default_factory=dict)

    def decide(self) -> Decision:
        """Configures the plugin and has it judge the message. Exceptions of the policy are not caught."""
        with self.at_hand():
            decision: Decision = self._policy().decide(Message())
            return decision

    def hook(self, name: str, *arguments: Any) -> HookDecision:
        """The same for a hook: `connect`, `helo`, `mail`, or `rcpt` with a `Mailbox`."""
        with self.at_hand():
            answer: HookDecision = getattr(self._policy(), name)(Message(), *arguments)
            return answer

    @contextmanager
    def at_hand(self) -> Iterator[None]:
        """Makes this the message that the layer's functions speak of."""
        before = dict(vars(host))
        vars(host).update(self._interfaces())
        try:
            yield
        finally:
            vars(host).update(before)

    def _policy(self) -> Any:
        found = problems(self.config)
        if found:
            raise AssertionError(f"the configuration has mistakes: {found}")
        return the_plugin().policy

    def _interfaces(self) -> "dict[str, Any]":
        interfaces = {
            "client": SimpleNamespace(get=lambda: self.client, connected=lambda: self.client),
            "envelope": SimpleNamespace(
                sender=lambda: mailbox(self.sender),
                recipients=lambda: [mailbox(recipient) for recipient in self.recipients],
                queue_id=lambda: "TEST",
            ),
            "facts": SimpleNamespace(get=self._fact),
            "output": _Output(),
            "services": _Services(self),
            "dns": _Dns(self.dns),
            "store": _Store(self.store),
            "clock": SimpleNamespace(now=lambda: self.now),
            "random": SimpleNamespace(bytes=lambda length: bytes(length)),
            "log": SimpleNamespace(write=lambda level, text: None, Level=_Level),
            **_content(self.message),
        }
        assert set(interfaces) == set(INTERFACES)
        return interfaces

    def _fact(self, name: str) -> Any:
        return SimpleNamespace(value=self.facts[name]) if name in self.facts else None


def mailbox(address: str, *arguments: str) -> Mailbox:
    """An address of the envelope."""
    local, _, domain = address.rpartition("@")
    return Mailbox(address, local, domain.lower(), arguments)


class _Level(Enum):
    ERROR = 0
    WARN = 1
    INFO = 2
    DEBUG = 3


def _content(source: bytes) -> "dict[str, Any]":
    raw = source.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    parsed = email.message_from_bytes(raw, policy=email.policy.compat32)
    parts: "list[Any]" = []
    _collect(parsed, 0, Role.BODY, parts)
    return {
        "headers": _Headers(_fields(parsed)),
        "parts": _Parts(parts),
        "raw": SimpleNamespace(size=lambda: len(raw), read=lambda offset, length: raw[offset : offset + length]),
    }


def _fields(part: Any) -> "list[HeaderField]":
    return [
        HeaderField(name, b" " + str(value).encode("utf-8", "surrogateescape").lstrip()) for name, value in part.items()
    ]


class _Headers:
    def __init__(self, fields: "list[HeaderField]"):
        self._fields = fields

    def all(self) -> "list[HeaderField]":
        return self._fields

    def get(self, name: str) -> "list[HeaderField]":
        return [field for field in self._fields if field.name.lower() == name.lower()]

    def count(self, name: str) -> int:
        return len(self.get(name))

    def text(self, name: str) -> "list[str]":
        return [_decoded(field.value.decode("utf-8", "replace")) for field in self.get(name)]

    def addresses(self, name: str) -> "list[Address]":
        values = [field.value.decode("utf-8", "replace") for field in self.get(name)]
        return [Address(_decoded(shown), address) for shown, address in email.utils.getaddresses(values)]


def _decoded(value: str) -> str:
    unfolded = " ".join(value.split())
    return str(email.header.make_header(email.header.decode_header(unfolded)))


def _collect(part: Any, parent: int, inherited: Role, parts: "list[Any]") -> None:
    number = len(parts)
    media_type = part.get_content_type()
    children = part.get_payload() if part.is_multipart() else []
    kind = Kind.MULTIPART if part.get_content_maintype() == "multipart" else Kind.MESSAGE if children else Kind.LEAF
    disposition = part.get_content_disposition() or ""
    file_name = part.get_filename() or ""
    role = inherited
    if media_type == "multipart/signed":
        role = Role.SIGNED
    elif media_type == "multipart/encrypted":
        role = Role.ENCRYPTED
    elif role is Role.BODY and kind is Kind.MULTIPART:
        role = Role.CONTAINER
    elif role is Role.BODY and (disposition == "attachment" or file_name or not media_type.startswith("text/")):
        role = Role.ATTACHMENT
    content = part.get_payload(decode=True) or b""
    parts.append(
        SimpleNamespace(
            id=number,
            parent=parent,
            kind=SimpleNamespace(name=kind.name),
            role=SimpleNamespace(name=role.name),
            media_type=media_type,
            charset=(part.get_content_charset() or ""),
            encoding=str(part.get("Content-Transfer-Encoding", "7bit")).lower(),
            disposition=disposition,
            file_name=file_name,
            content_id=str(part.get("Content-ID", "")).strip("<> "),
            encoded_size=len(part.get_payload()) if not children else 0,
            defects=[],
            content=content if kind is Kind.LEAF else b"",
            entity=part.as_bytes(),
            fields=_fields(part),
        )
    )
    for child in children:
        _collect(child, number, Role.BODY if role is Role.CONTAINER else role, parts)


class _Parts:
    def __init__(self, parts: "list[Any]"):
        self._parts = parts

    def all(self) -> "list[Any]":
        return self._parts

    def header_fields(self, part: int) -> "list[HeaderField]":
        return list(self._parts[part].fields)

    def size(self, part: int) -> int:
        return len(self._parts[part].content)

    def read(self, part: int, offset: int, length: int) -> bytes:
        return bytes(self._parts[part].content[offset : offset + min(length, 65536)])

    def text(self, part: int, limit: int) -> str:
        found = self._parts[part]
        text = found.content.decode(found.charset or "utf-8", "replace")
        return str(text).encode()[:limit].decode("utf-8", "ignore")

    def read_entity(self, part: int, offset: int, length: int) -> bytes:
        return bytes(self._parts[part].entity[offset : offset + min(length, 65536)])


class _Output:
    def __init__(self) -> None:
        self.blobs: "list[bytearray]" = []

    def create(self) -> int:
        self.blobs.append(bytearray())
        return len(self.blobs) - 1

    def append(self, blob: int, data: bytes) -> None:
        self.blobs[blob] += data

    def append_entity(self, blob: int, part: int) -> None:
        self.blobs[blob] += host.parts.read_entity(part, 0, 1 << 31)


class _Services:
    def __init__(self, transaction: Transaction):
        self._transaction = transaction
        self._streams: "list[tuple[str, bytes]]" = []

    def open(self, service: str) -> int:
        if service not in self._transaction.services:
            raise ServiceError(service, "denied")
        self._streams.append((service, self._transaction.services[service]))
        return len(self._streams) - 1

    def write(self, connection: int, data: bytes) -> None:
        service, _ = self._streams[connection]
        self._transaction.written[service] = self._transaction.written.get(service, b"") + data

    def finish(self, connection: int) -> None:
        pass

    def read(self, connection: int, size: int) -> bytes:
        service, left = self._streams[connection]
        self._streams[connection] = (service, left[size:])
        return left[:size]

    def close(self, connection: int) -> None:
        pass


class _Dns:
    def __init__(self, answers: "Mapping[str, Mapping[str, Optional[Sequence[Any]]]]"):
        self._answers = answers

    def _answer(self, kind: str, name: str) -> "list[Any]":
        found = self._answers.get(kind, {}).get(name, ())
        if found is None:
            raise DnsError("failed", name)
        return list(found)

    def addresses(self, name: str) -> "list[str]":
        return self._answer("addresses", name)

    def texts(self, name: str) -> "list[str]":
        return self._answer("texts", name)

    def mail_exchangers(self, name: str) -> "list[MailExchanger]":
        return self._answer("mail_exchangers", name)

    def names(self, address: str) -> "list[str]":
        return self._answer("names", address)


class _Store:
    def __init__(self, entries: "dict[str, bytes | int]"):
        self._entries = entries

    def get(self, key: str) -> Optional[bytes]:
        found = self._entries.get(key)
        return found if isinstance(found, bytes) else None

    def set(self, key: str, value: bytes, seconds: int) -> None:
        self._entries[key] = value

    def remove(self, key: str) -> None:
        self._entries.pop(key, None)

    def add(self, key: str, amount: int, seconds: int) -> int:
        found = self._entries.get(key, 0)
        new = (found if isinstance(found, int) else 0) + amount
        if amount:
            self._entries[key] = new
        return new
