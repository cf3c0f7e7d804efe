"""Requests to addresses that users name: never to this machine or its network, unless the owner allows that."""

import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass

import httpx2

from devices.service_link import authorities
from service.errors import BadInput

TIMEOUT_S = 10.0
LONGEST_URL = 500


class Unreachable(Exception):
    """Nobody answered, or not as one should; in words."""


@dataclass(frozen=True)
class OutwardAddress:
    """A URL and the number that its name meant when it was looked up, which alone is connected to."""

    url: httpx2.URL
    ip: str

    @classmethod
    def of(cls, url: str, allows_private: bool) -> "OutwardAddress":
        """Look a URL up; BadInput where it is none, or means this machine or a private network."""
        parsed = _parsed(url, allows_private)
        try:
            found = socket.getaddrinfo(parsed.host, parsed.port or 443, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:  # the latter for a name that DNS has no form for
            why = error.strerror if isinstance(error, OSError) else "it is no name"
            raise BadInput(f"{parsed.host} can't be looked up: {why}", field="url") from None
        numbers = [str(each[4][0]) for each in found]
        private = [each for each in numbers if not _is_public(each)]
        if private and not allows_private:
            raise BadInput(
                f"{parsed.host} is at {private[0]}, which is no public address",
                field="url",
                hint="name a public one, or set LOOPFRONT_PRIVATE_WEBHOOKS=true on the service",
            )
        return cls(parsed, numbers[0])

    def post(self, content: bytes, headers: Mapping[str, str]) -> int:
        """Send something and return the status; no redirect is followed and no answer read. Raises Unreachable."""
        # By number: a name may mean something else a moment after it was looked up.
        place = self.url.copy_with(host=self.ip)
        sent = {**headers, "Host": self.url.netloc.decode()}
        try:
            with (
                httpx2.Client(timeout=TIMEOUT_S, trust_env=False, verify=authorities()) as client,
                client.stream(
                    "POST", place, content=content, headers=sent, extensions={"sni_hostname": self.url.host}
                ) as answer,
            ):
                return answer.status_code
        except httpx2.HTTPError as error:
            raise Unreachable(str(error) or type(error).__name__) from None


def _parsed(url: str, allows_private: bool) -> httpx2.URL:
    schemes = {"https", "http"} if allows_private else {"https"}
    try:
        parsed = httpx2.URL(url[: LONGEST_URL + 1])
    except httpx2.InvalidURL:
        parsed = httpx2.URL("")
    if len(url) > LONGEST_URL or parsed.scheme not in schemes or not parsed.host or parsed.userinfo:
        raise BadInput(
            f"{url[:100]!r} can't be used",
            field="url",
            hint=f"write it as {min(schemes, key=len) if allows_private else 'https'}://HOST/PATH",
        )
    return parsed


def _is_public(number: str) -> bool:
    address = ipaddress.ip_address(number.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        hidden = address.ipv4_mapped or address.sixtofour
        if hidden is not None:
            address = hidden
    return address.is_global and not address.is_multicast
