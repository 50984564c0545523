"""Rejects mail by phrases in its subject, and marks the rest."""

from dataclasses import dataclass, field

import wasmilter
from wasmilter import Decision, Message, Policy, Problem


@dataclass
class Config:
    """`[stage.config]`"""

    phrases: list[str] = field(metadata={"description": "mail is rejected by these in its subject", "minItems": 1})


@wasmilter.plugin(
    name="{{name}}",
    version="0.1.0",
    summary="Rejects mail by phrases in its subject, and marks the rest",
    grants=["headers"],
    config=Config,
)
class {{Name}}(Policy[Config]):
    def configure(self) -> list[Problem]:
        """Called once, when the plugin is loaded: what is left in `self` is there for every message."""
        problems = []
        if not self.config.phrases:
            problems.append(Problem("/phrases", "must have at least one phrase"))
        for at, phrase in enumerate(self.config.phrases):
            if not phrase.strip():
                problems.append(Problem(f"/phrases/{at}", "must not be empty"))
        return problems

    def decide(self, message: Message) -> Decision:
        """Called for every message, each time in a sandbox of its own."""
        subject = message.subject.lower()
        for phrase in self.config.phrases:
            if phrase.lower() in subject:
                refusal = Decision.reject(f"subject not accepted: {phrase}", code=550, enhanced="5.7.1")
                return refusal.fact("phrase", phrase)
        return Decision.next().add_header("X-Checked-By", "{{name}}")
