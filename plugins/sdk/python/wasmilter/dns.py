"""The domain name system. Needs the grant `dns`.

No records of the kind asked for (NXDOMAIN or no data) is an empty list, not an error.
"""

from dataclasses import dataclass
from typing import Callable, TypeVar

from .failure import ServiceFailure
from .host import HostError, error_of, host

T = TypeVar("T")


class DnsError(ServiceFailure):
    """A question was not answered. Left alone it becomes a failure of kind `service`.

    `reason` is one of `timed-out`, `failed`, `limit`.
    """

    def __init__(self, reason: str, detail: str = ""):
        super().__init__(f"dns: {reason}" + (f": {detail}" if detail else ""))
        self.reason = reason


@dataclass(frozen=True)
class MailExchanger:
    """A host that takes mail for a domain (RFC 5321 §5.1)."""

    preference: int
    #: Without the final dot; empty for the null MX (RFC 7505).
    host: str


def addresses(name: str) -> "list[str]":
    """IPv4 and IPv6 addresses of a name, following CNAME. Also the way to ask block lists."""
    return _ask(lambda: list(host.dns.addresses(name)))


def texts(name: str) -> "list[str]":
    """TXT records; the strings of one record are joined without a space."""
    return _ask(lambda: list(host.dns.texts(name)))


def mail_exchangers(name: str) -> "list[MailExchanger]":
    """MX records by rising preference."""
    return _ask(lambda: [MailExchanger(found.preference, found.host) for found in host.dns.mail_exchangers(name)])


def names(address: str) -> "list[str]":
    """Host names of an IPv4 or IPv6 address (PTR), without the final dot."""
    return _ask(lambda: list(host.dns.names(address)))


def _ask(call: Callable[[], T]) -> T:
    try:
        return call()
    except HostError as error:
        raise DnsError(*error_of(error)) from None
