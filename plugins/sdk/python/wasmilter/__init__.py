"""Write plugins for Wasmilter, the milter host, in Python.

A plugin is a class; `decide` is called once for every message::

    from dataclasses import dataclass, field

    import wasmilter
    from wasmilter import Decision, Message

    @dataclass
    class Config:
        phrases: list[str] = field(default_factory=list, metadata={"description": "refused in subjects"})

    @wasmilter.plugin(name="phrases", version="0.1.0", summary="Refuses phrases.", grants=["headers"], config=Config)
    class Phrases(wasmilter.Policy[Config]):
        def decide(self, message: Message) -> Decision:
            if any(phrase in message.subject for phrase in self.config.phrases):
                return Decision.reject("not wanted here")
            return Decision.next()

Every message meets the plugin as `configure` left it: what `decide` writes to globals and attributes is gone
afterwards. An exception in `decide` becomes a failure ("could not decide") with its type and line; the stage's
`on_failure` then says what happens to the message.

The project's `wit/world.wit` names the interfaces that the plugin uses. One that it does not name raises
`NotImported` when it is used, here and in tests.
"""

from .config import Directory, File, Problem
from .decision import Blob, Content, Decision, Edit, HookDecision, Reply
from .dns import DnsError, MailExchanger, addresses, mail_exchangers, names, texts
from .failure import Failure, ServiceFailure, Unsupported
from .host import NotImported
from .message import Address, Client, Facts, FactValue, HeaderField, Headers, Kind, Mailbox, Message, Part, Role
from .policy import Policy, plugin
from .service import Connection, ServiceError, connect
from .store import StoreError, store
from .system import now, random_bytes

__all__ = [
    "Address",
    "Blob",
    "Client",
    "Connection",
    "Content",
    "Decision",
    "Directory",
    "DnsError",
    "Edit",
    "FactValue",
    "Facts",
    "Failure",
    "File",
    "HeaderField",
    "Headers",
    "HookDecision",
    "Kind",
    "MailExchanger",
    "Mailbox",
    "Message",
    "NotImported",
    "Part",
    "Policy",
    "Problem",
    "Reply",
    "Role",
    "ServiceError",
    "ServiceFailure",
    "StoreError",
    "Unsupported",
    "addresses",
    "connect",
    "mail_exchangers",
    "names",
    "now",
    "plugin",
    "random_bytes",
    "store",
    "texts",
]
