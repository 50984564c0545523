"""What a plugin has to say: a verdict, edits, facts."""

from dataclasses import dataclass, field
from typing import Any, Sequence, TypeVar, Union

from .failure import MistakeError
from .host import host
from .message import FactValue, Part

#: Bytes that are handed to the host in one call.
_PIECE = 64 * 1024


class Blob:
    """Large content for an edit, written in pieces so that it never stands in the plugin's memory as a whole."""

    def __init__(self) -> None:
        self.id = int(host.output.create())

    def write(self, data: "bytes | bytearray | memoryview") -> int:
        """Appends."""
        view = memoryview(data).cast("B")
        for start in range(0, len(view), _PIECE):
            host.output.append(self.id, bytes(view[start : start + _PIECE]))
        return len(view)

    def write_entity(self, part: "Part | int") -> None:
        """Appends a part as it stands in the message, without moving it through the plugin. Needs the grant `raw`."""
        host.output.append_entity(self.id, _id(part))


#: Content of an edit; text is written as UTF-8.
Content = Union[str, bytes, Blob]


@dataclass(frozen=True)
class Reply:
    """What the SMTP client is told. 0 and empty texts mean the host's default."""

    #: 500–599 for a rejection, 400–499 for a temporary failure.
    code: int = 0
    #: Enhanced status code such as `5.7.1`.
    enhanced: str = ""
    #: Lines separated by LF.
    text: str = ""


@dataclass(frozen=True)
class Edit:
    """One change, by its name in the contract: `Edit("add-header", {"name": "X-Seen", "value": "yes"})`."""

    name: str
    value: Any


D = TypeVar("D", bound="HookDecision")


@dataclass
class HookDecision:
    """Answer of the hooks `connect`, `helo`, `mail` and `rcpt`: `next`, `reject` or `tempfail`, and facts."""

    #: Name in the contract: `next`, `reject`, …
    verdict: str = "next"
    #: Reply of `reject` and `tempfail`, reason of `quarantine`.
    argument: "Reply | str | None" = None
    facts: "dict[str, FactValue]" = field(default_factory=dict)

    @classmethod
    def next(cls: "type[D]") -> D:
        """Go on."""
        return cls("next")

    @classmethod
    def reject(cls: "type[D]", text: str = "", *, code: int = 0, enhanced: str = "") -> D:
        """Refuse for good (5xx). At connect and HELO: the session, at MAIL: the transaction, at RCPT: the recipient."""
        return cls("reject", Reply(code, enhanced, text))

    @classmethod
    def tempfail(cls: "type[D]", text: str = "", *, code: int = 0, enhanced: str = "") -> D:
        """Refuse for now (4xx); the client tries again later."""
        return cls("tempfail", Reply(code, enhanced, text))

    def fact(self: D, name: str, value: FactValue) -> D:
        """Publishes a fact for later stages, conditions and logs; `score` of stage `spam` is `spam.score` to them."""
        self.facts[name] = value
        return self


@dataclass
class Decision(HookDecision):
    """All that a plugin has to say about a message. Methods give the decision back, so that calls can be chained::

        return Decision.next().add_header("X-Seen", "yes").fact("seen", True)

    The host checks all edits before it applies the first; a single bad one refuses the decision as a whole.
    """

    edits: "list[Edit]" = field(default_factory=list)

    @classmethod
    def accept(cls) -> "Decision":
        """Deliver; later stages do not run."""
        return cls("accept")

    @classmethod
    def discard(cls) -> "Decision":
        """Answer 250, deliver to nobody."""
        return cls("discard")

    @classmethod
    def quarantine(cls, reason: str) -> "Decision":
        """Hold the message back in the mail server's quarantine, with a reason of at most 100 characters."""
        return cls("quarantine", reason)

    def add_header(self, name: str, value: str) -> "Decision":
        """Adds a field below all others. Needs the grant `headers`, as do all up to `set_subject`.

        `value` is US-ASCII, as it will stand in the message.
        """
        return self._edit("add-header", name=name, value=value)

    def insert_header(self, name: str, value: str) -> "Decision":
        """Inserts a field above all others. Several: the first ends on top."""
        return self._edit("insert-header", name=name, value=value)

    def replace_header(self, name: str, value: str, *, occurrence: int = 1) -> "Decision":
        """Replaces the value of one occurrence, counted from 1 at the top."""
        return self._edit("replace-header", name=name, occurrence=occurrence, value=value)

    def remove_header(self, name: str, *, occurrence: int = 0) -> "Decision":
        """Removes one occurrence, or with 0 every one."""
        return self._edit("remove-header", name=name, occurrence=occurrence)

    def set_subject(self, text: str) -> "Decision":
        """Sets the subject, as people read it; the host encodes it."""
        return self._append("set-subject", text)

    def replace_part(
        self,
        part: "Part | int",
        media_type: str,
        content: Content,
        *,
        file_name: str = "",
        disposition: str = "",
        content_id: str = "",
    ) -> "Decision":
        """Replaces a part and everything below it. Needs the grants of the parts that go."""
        new = _new_part(media_type, content, file_name, disposition, content_id)
        return self._edit("replace-part", part=_id(part), replacement=new)

    def remove_part(self, part: "Part | int") -> "Decision":
        """Removes a part and everything below it. Needs the same."""
        return self._append("remove-part", _id(part))

    def add_part(
        self,
        media_type: str,
        content: Content,
        *,
        file_name: str = "",
        disposition: str = "",
        content_id: str = "",
    ) -> "Decision":
        """Adds a part at the end. Needs the grant `attachments`."""
        return self._append("add-part", _new_part(media_type, content, file_name, disposition, content_id))

    def append_text(self, plain: str = "", html: str = "") -> "Decision":
        """Puts text below what people read: `plain` in text/plain parts, the fragment `html` in text/html parts.

        Needs the grant `text`.
        """
        return self._edit("append-text", plain=plain, html=html)

    def prepend_text(self, plain: str = "", html: str = "") -> "Decision":
        """Puts text above what people read, in the same way."""
        return self._edit("prepend-text", plain=plain, html=html)

    def replace_content(self, headers: "Sequence[tuple[str, str]]", body: Content) -> "Decision":
        """Replaces the whole content: MIME header fields, and the body as it goes out. Needs the grant `raw`."""
        return self._edit("replace-content", headers=[(name, value) for name, value in headers], body=body)

    def set_sender(self, address: str, arguments: Sequence[str] = ()) -> "Decision":
        """Changes the envelope's sender; empty: the null sender. Needs the grant `recipients`, as do the next two."""
        return self._edit("set-sender", address=address, arguments=list(arguments))

    def add_recipient(self, address: str, arguments: Sequence[str] = ()) -> "Decision":
        """Adds a recipient."""
        return self._edit("add-recipient", address=address, arguments=list(arguments))

    def remove_recipient(self, address: str) -> "Decision":
        """Removes a recipient, named as in `message.recipients`."""
        return self._append("remove-recipient", address)

    def set_client(self, address: str, *, port: int = 0, hostname: str = "", helo: str = "") -> "Decision":
        """Sets the client for all later stages. Needs the grant `set-client`."""
        return self._edit("set-client", address=address, port=port, hostname=hostname, helo=helo)

    def _edit(self, edit: str, **value: Any) -> "Decision":
        return self._append(edit, value)

    def _append(self, edit: str, value: Any) -> "Decision":
        self.edits.append(Edit(edit, value))
        return self


def checked(decision: Any, wanted: "type[D]") -> D:
    """What a policy answered, when it is an answer."""
    if type(decision) is not wanted:
        raise MistakeError(f"must return a {wanted.__name__}, not {type(decision).__name__}")
    return decision


def _new_part(media_type: str, content: Content, file_name: str, disposition: str, content_id: str) -> "dict[str, Any]":
    return {
        "media_type": media_type,
        "file_name": file_name,
        "disposition": disposition,
        "content_id": content_id,
        "content": content,
    }


def _id(part: "Part | int") -> int:
    return part.id if isinstance(part, Part) else part
