"""Does nothing: what the interpreter costs."""

from dataclasses import dataclass

import wasmilter
from wasmilter import Decision, Message, Policy


@dataclass
class Config:
    """Nothing."""


@wasmilter.plugin(name="noop-python", version="1.0.0", summary="Does nothing", grants=[], config=Config)
class Noop(Policy[Config]):
    def decide(self, message: Message) -> Decision:
        return Decision.next()
