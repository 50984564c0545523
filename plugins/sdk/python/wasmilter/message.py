"""The message at hand: nothing is copied into the plugin before it is asked for."""

import io
from dataclasses import dataclass
from enum import Enum
from typing import Any, Callable, Iterator, Optional, Union

from .host import host

#: What one call of the host gives at most.
_PIECE = 64 * 1024


@dataclass(frozen=True)
class Client:
    """The SMTP client. Texts are empty where nothing is known."""

    #: IPv4 or IPv6 address; empty for local submission.
    address: str = ""
    #: 0: not known.
    port: int = 0
    #: Host name that the mail server verified.
    hostname: str = ""
    #: Name given at HELO or EHLO.
    helo: str = ""
    #: User name when the client authenticated.
    auth_user: str = ""
    auth_mechanism: str = ""
    #: Such as `TLSv1.3`; empty without TLS.
    tls_version: str = ""
    tls_cipher: str = ""
    #: Name of the mail server's listener.
    listener: str = ""


@dataclass(frozen=True)
class Mailbox:
    """An address of the envelope, with its ESMTP arguments."""

    #: `user@example.org`; empty for the null sender.
    address: str
    #: Part before the last `@`, as written.
    local: str = ""
    #: Part after the last `@`, in lower case.
    domain: str = ""
    #: Such as `SIZE=1000`.
    arguments: "tuple[str, ...]" = ()


@dataclass(frozen=True)
class Address:
    """One address of a From, To, Cc… field."""

    #: Display name, decoded; empty when there is none.
    name: str
    #: May be something else than an address when the field is malformed.
    address: str

    @property
    def domain(self) -> str:
        """Part after the last `@`, in lower case; empty when there is none."""
        return self.address.rpartition("@")[2].lower() if "@" in self.address else ""


@dataclass(frozen=True)
class HeaderField:
    """A header field as it stands in the message."""

    name: str
    #: Everything after the colon, raw.
    value: bytes


class Headers:
    """The header fields, as the stages before this one left them. Names are compared without case.

    `headers["Subject"]` and `get` give decoded text, as people read it; `raw` and iteration what stands in the message.
    """

    def __iter__(self) -> Iterator[HeaderField]:
        return (HeaderField(field.name, bytes(field.value)) for field in host.headers.all())

    def __contains__(self, name: str) -> bool:
        return self.count(name) > 0

    def __getitem__(self, name: str) -> str:
        """The first field of that name, decoded; KeyError when there is none."""
        for text in host.headers.text(name):
            return str(text)
        raise KeyError(name)

    def get(self, name: str, default: str = "") -> str:
        """The first field of that name, decoded."""
        for text in host.headers.text(name):
            return str(text)
        return default

    def get_all(self, name: str) -> "list[str]":
        """All fields of that name, from the top: unfolded, trimmed, encoded words decoded."""
        return list(host.headers.text(name))

    def raw(self, name: str) -> "list[bytes]":
        """The values of all fields of that name, from the top, as they stand in the message."""
        return [bytes(field.value) for field in host.headers.get(name)]

    def count(self, name: str) -> int:
        """How many fields there are of that name."""
        return int(host.headers.count(name))

    def addresses(self, name: str) -> "list[Address]":
        """The mailboxes in all fields of that name; groups flattened."""
        return [Address(found.name, found.address) for found in host.headers.addresses(name)]


class Kind(str, Enum):
    """What a part is made of."""

    #: Has content of its own.
    LEAF = "leaf"
    #: multipart/*: its children are parts.
    MULTIPART = "multipart"
    #: message/rfc822: its only child is the root of the enclosed message.
    MESSAGE = "message"


class Role(str, Enum):
    """What a part is to the reader."""

    #: Shown as the message's text.
    BODY = "body"
    #: A file, an inline picture, a forwarded message.
    ATTACHMENT = "attachment"
    #: Inside or part of something signed: changing it breaks the signature.
    SIGNED = "signed"
    ENCRYPTED = "encrypted"
    #: multipart/* without a role of its own.
    CONTAINER = "container"


@dataclass(frozen=True)
class Part:
    """A part of the MIME tree. Its content is read when it is asked for."""

    #: 0 is the root; ids count in order of appearance.
    id: int
    #: Id of the enclosing part; for the root 0, itself.
    parent: int
    kind: Kind
    role: Role
    #: In lower case without parameters, such as `text/plain`.
    media_type: str
    #: In lower case; empty when missing.
    charset: str
    #: Content-Transfer-Encoding in lower case.
    encoding: str
    #: `inline`, `attachment` or another token in lower case; empty when missing.
    disposition: str
    #: Decoded; empty for none.
    file_name: str
    #: Without angle brackets; empty for none.
    content_id: str
    #: Bytes of the content as it stands in the message, transfer-encoded.
    encoded_size: int
    #: What was wrong with this part, such as `missing-end-boundary`.
    defects: "tuple[str, ...]"

    @property
    def is_text(self) -> bool:
        """Whether people read it as the message's text, plain or HTML."""
        return self.role is Role.BODY and self.media_type.startswith("text/")

    @property
    def headers(self) -> "list[HeaderField]":
        """Header fields of the part; those of the root need the grant `headers`."""
        return [HeaderField(field.name, bytes(field.value)) for field in host.parts.header_fields(self.id)]

    @property
    def size(self) -> int:
        """Decoded size in bytes; 0 for a part that is no leaf. Decodes the part."""
        return int(host.parts.size(self.id))

    def text(self, limit: int = 1 << 20) -> str:
        """Content of a text part, decoded from its charset; at most `limit` bytes of it as UTF-8."""
        return str(host.parts.text(self.id, limit))

    def open(self) -> io.BufferedReader:
        """The decoded content of a leaf as a binary file."""
        return _file(lambda offset, length: host.parts.read(self.id, offset, length), lambda: self.size)

    def open_entity(self) -> io.BufferedReader:
        """The part as it stands in the message, header fields included, as a binary file. Needs the grant `raw`."""
        return _file(lambda offset, length: host.parts.read_entity(self.id, offset, length))


FactValue = Union[bool, float, str, "list[str]"]


class Facts:
    """What stages before this one published, by full name: `facts["spam.score"]`."""

    def __getitem__(self, name: str) -> FactValue:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def get(self, name: str, default: Optional[FactValue] = None) -> Optional[FactValue]:
        fact = host.facts.get(name)
        return default if fact is None else fact.value


class Message:
    """The message at hand, or in a hook the SMTP transaction so far."""

    def __init__(self) -> None:
        self.headers = Headers()
        self.facts = Facts()

    @property
    def client(self) -> Client:
        """The client as stages before this one restored it, otherwise the connected one."""
        return _client(host.client.get())

    @property
    def connected(self) -> Client:
        """The host that is connected to the mail server, whatever stages before this one found out."""
        return _client(host.client.connected())

    @property
    def sender(self) -> Mailbox:
        """Sender of the envelope. Needs the grant `envelope`, as do the next two."""
        return mailbox(host.envelope.sender())

    @property
    def recipients(self) -> "list[Mailbox]":
        """Recipients that the mail server accepted so far."""
        return [mailbox(recipient) for recipient in host.envelope.recipients()]

    @property
    def queue_id(self) -> str:
        """The mail server's queue id; empty while it has none."""
        return str(host.envelope.queue_id())

    @property
    def subject(self) -> str:
        """The first Subject field, decoded; empty when there is none. Needs the grant `headers`."""
        return self.headers.get("Subject")

    @property
    def parts(self) -> "list[Part]":
        """All parts in order of appearance; the first is the root. Needs one of the grants `text` and `attachments`."""
        return [_part(part) for part in host.parts.all()]

    @property
    def texts(self) -> "list[Part]":
        """The parts that people read as the message's text, plain and HTML."""
        return [part for part in self.parts if part.is_text]

    @property
    def attachments(self) -> "list[Part]":
        """Files, inline pictures, forwarded messages."""
        return [part for part in self.parts if part.role is Role.ATTACHMENT]

    @property
    def size(self) -> int:
        """Size of the message in bytes. Needs the grant `raw`."""
        return int(host.raw.size())

    def open(self) -> io.BufferedReader:
        """The whole message as a binary file, lines ended by CRLF. Needs the grant `raw`."""
        return _file(host.raw.read, lambda: self.size)


def mailbox(found: Any) -> Mailbox:
    """Of what the contract gives."""
    return Mailbox(found.address, found.local, found.domain, tuple(found.arguments))


def _client(found: Any) -> Client:
    return Client(**{name: getattr(found, name) for name in Client.__dataclass_fields__})


def _part(found: Any) -> Part:
    values = {name: getattr(found, name) for name in Part.__dataclass_fields__}
    values["kind"] = Kind[values["kind"].name]
    values["role"] = Role[values["role"].name]
    values["defects"] = tuple(values["defects"])
    return Part(**values)


def _file(read: Callable[[int, int], bytes], size: Optional[Callable[[], int]] = None) -> io.BufferedReader:
    return io.BufferedReader(_Reader(read, size), _PIECE)


class _Reader(io.RawIOBase):
    """A binary file over a function that reads from an offset."""

    def __init__(self, read: Callable[[int, int], bytes], size: Optional[Callable[[], int]]):
        super().__init__()
        self._read = read
        self._size = size
        self._offset = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._offset

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_CUR:
            offset += self._offset
        elif whence == io.SEEK_END:
            if self._size is None:
                raise io.UnsupportedOperation("the size is not known")
            offset += self._size()
        if offset < 0:
            raise ValueError("negative seek")
        self._offset = offset
        return offset

    def readinto(self, buffer: Any) -> int:
        data = self._read(self._offset, min(len(buffer), _PIECE))
        buffer[: len(data)] = data
        self._offset += len(data)
        return len(data)
