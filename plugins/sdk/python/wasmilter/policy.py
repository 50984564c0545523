"""What an author writes: a class, and how it presents itself."""

import inspect
import json
import os
from dataclasses import dataclass
from typing import Any, Callable, Generic, Iterable, Optional, Sequence, TypeVar

from . import config as configuration
from .config import Problem
from .decision import D, Decision, HookDecision, checked
from .failure import Failure, MistakeError, failure_of, place_of
from .message import Mailbox, Message

C = TypeVar("C")
P = TypeVar("P", bound="type[Policy[Any]]")


class Policy(Generic[C]):
    """Base class of policies. Write `decide`, or hooks, or both; the world in `wit/world.wit` says which are asked.

    Hooks: `connect(self, message)`, `helo(self, message)`, `mail(self, message)`, `rcpt(self, message, recipient)`,
    each giving a `HookDecision`.
    """

    #: The configuration: an instance of the dataclass named in `plugin`, or a dict.
    config: C

    def configure(self) -> Optional[Iterable[Problem]]:
        """Called once, when `self.config` is set and before any message: compile and check here. Gives what is wrong.

        What it leaves in the object, every message begins with. It must not ask for the message, nor use services, DNS,
        the store, the clock or the log (logging is dropped): the host would have to configure anew for every message.
        """
        return None

    def decide(self, message: Message) -> Decision:
        """Judges a message. Called once for every message, after its last byte has arrived."""
        raise MistakeError("wit/world.wit exports message-policy, but the policy has no decide")

    def connect(self, message: Message) -> HookDecision:
        """Asked when a client connects; `message.client` is known, nothing else."""
        raise MistakeError("wit/world.wit exports on-connect, but the policy has no connect")

    def helo(self, message: Message) -> HookDecision:
        """Asked at every HELO or EHLO."""
        raise MistakeError("wit/world.wit exports on-helo, but the policy has no helo")

    def mail(self, message: Message) -> HookDecision:
        """Asked at MAIL FROM; `message.sender` is known."""
        raise MistakeError("wit/world.wit exports on-mail, but the policy has no mail")

    def rcpt(self, message: Message, recipient: Mailbox) -> HookDecision:
        """Asked at every RCPT TO, about that recipient; `message.recipients` has the ones accepted before it."""
        raise MistakeError("wit/world.wit exports on-rcpt, but the policy has no rcpt")


def plugin(
    *,
    name: str,
    version: str,
    summary: str,
    grants: Sequence[str] = (),
    licence: str = "",
    home_page: str = "",
    config: Optional[type] = None,
    schema: "Optional[dict[str, Any]]" = None,
) -> Callable[[P], P]:
    """Says that a class is the plugin, and how it presents itself.

    `config` is a dataclass that the configuration is read into, and that the JSON Schema is made of. Without it,
    `self.config` is a dict, and `schema` its JSON Schema; without that, anything goes.
    """

    def register(policy: P) -> P:
        global registered
        described = configuration.schema(config) if schema is None and config else schema or {}
        folder = os.path.dirname(os.path.abspath(inspect.getfile(policy)))
        registered = Plugin(policy, name, version, summary, licence, home_page, list(grants), described, config, folder)
        return policy

    return register


@dataclass
class Plugin:
    """A policy as the host sees it, in Python's types. `testing` calls it as the component does."""

    policy_type: "type[Policy[Any]]"
    name: str
    version: str
    summary: str
    licence: str
    home_page: str
    grants: "list[str]"
    schema: "dict[str, Any]"
    config_type: Optional[type]
    #: Where the author's source is.
    folder: str
    #: None before `configure`.
    policy: "Optional[Policy[Any]]" = None

    def configure(self, text: str) -> "list[Problem]":
        """Takes the configuration as JSON text; gives all that is wrong with it."""
        try:
            return self._configure(json.loads(text))
        except Exception as error:
            # Not a message: the text of the exception may be told.
            return [Problem("", f"{type(error).__name__}{place_of(error.__traceback__, self.folder)}: {error}")]

    def _configure(self, value: Any) -> "list[Problem]":
        problems: "list[Problem]" = []
        policy = self.policy_type()
        policy.config = configuration.read(self.config_type, value, problems) if self.config_type else value
        if not problems:
            problems = list(policy.configure() or ())
        if not problems:
            self.policy = policy
        return configuration.sorted_by_place(problems)

    def decide(self) -> Decision:
        """Judges the message at hand; Failure when it could not."""
        return self._ask("decide", Decision)

    def hook(self, name: str, *arguments: Any) -> HookDecision:
        """Answers a hook; Failure when it could not."""
        return self._ask(name, HookDecision, *arguments)

    def _ask(self, method: str, wanted: "type[D]", *arguments: Any) -> D:
        try:
            if self.policy is None:
                raise MistakeError("was not configured")
            return checked(getattr(self.policy, method)(Message(), *arguments), wanted)
        except Exception as error:
            raise failure_of(error, self.folder) from error


#: The class that `plugin` was put on.
registered: Optional[Plugin] = None


def the_plugin() -> Plugin:
    """The project's plugin."""
    if registered is None:
        raise Failure("no class has the decorator @wasmilter.plugin(…)")
    return registered
