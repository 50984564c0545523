"""What componentize-py makes the component of: the classes that it looks for, over the project's `policy.py`."""

import json
from typing import Any, Callable

import policy  # noqa: F401  registers its plugin
from componentize_py_types import Err

from . import sandbox, wit
from .failure import Failure, failure_of
from .message import mailbox
from .policy import the_plugin

plugin = the_plugin()
# While the component is built, so that a type that can not stand in a configuration fails the build.
schema = json.dumps(plugin.schema)


class Lifecycle:
    def describe(self) -> Any:
        sandbox.enter(judging=False)
        return wit.info(plugin, schema)

    def configure(self, config: str) -> None:
        sandbox.enter(judging=False)
        problems = plugin.configure(config)
        if problems:
            raise Err([wit.problem(problem.path, problem.message) for problem in problems])


class MessagePolicy:
    def decide(self) -> Any:
        return _answer(lambda: wit.decision(plugin.decide()))


class OnConnect:
    def connect(self) -> Any:
        return _hook("connect")


class OnHelo:
    def helo(self) -> Any:
        return _hook("helo")


class OnMail:
    def mail(self) -> Any:
        return _hook("mail")


class OnRcpt:
    def rcpt(self, recipient: Any) -> Any:
        return _hook("rcpt", mailbox(recipient))


def _hook(name: str, *arguments: Any) -> Any:
    return _answer(lambda: wit.hook_decision(plugin.hook(name, *arguments)))


def _answer(ask: Callable[[], Any]) -> Any:
    sandbox.enter(judging=True)
    try:
        return ask()
    except Exception as error:
        told = error if isinstance(error, Failure) else failure_of(error, plugin.folder)
        raise Err(wit.failure(told)) from None
