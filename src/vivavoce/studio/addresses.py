"""Addresses that clients give for us to call: public ones or the operator's own, connected to where they were checked.

A name is resolved once; the connection then goes to an address of that answer, so that a name which changes its mind
(DNS rebinding) leads nowhere else. Every address of the answer must be public: one that is not gives the name away.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import httpx

from vivavoce.errors import InvalidInput

__all__ = ["Gate", "Resolve", "Target", "is_public", "resolve"]

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Gives the addresses of a host (port for the system's sake). Raises ``OSError``."""
_Address = IPv4Address | IPv6Address
_LENGTH = 2000
_LOW_PORTS = (80, 443)
_ADDRESSES = 4
"""How many addresses of one host are tried."""
_CLOSED = [  # closed to us whatever this Python's tables say of them
    ipaddress.ip_network(text)
    for text in (
        *("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "240.0.0.0/4"),
        *(
            "::/96",
            "64:ff9b:1::/48",
            "100::/64",
            "2001::/23",
            "2001:db8::/32",
            "3fff::/20",
            "5f00::/16",
            "fc00::/7",
            "fec0::/10",
        ),
    )
]
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Target:
    """A checked URL: where to connect, and whom to ask for there."""

    url: httpx.URL
    host: str
    """Its name without a last dot, as a certificate has it."""
    addresses: tuple[str, ...]
    """Each of them has passed."""


async def resolve(host: str, port: int) -> Sequence[str]:
    """The system's own answer."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(sockaddr[0]) for *_, sockaddr in found]


def is_public(address: str) -> bool:
    """Whether an address belongs to the public internet, also as the address that it wraps (6to4, NAT64, mapped)."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, IPv6Address) and (inner := _wrapped(ip)) is not None:
        return is_public(str(inner))
    closed = any(ip in network for network in _CLOSED if network.version == ip.version)
    return ip.is_global and not (closed or ip.is_multicast or ip.is_reserved or ip.is_unspecified)


def _wrapped(ip: IPv6Address) -> IPv4Address | None:
    if ip in _NAT64:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour


class Gate:
    """Lets addresses pass, or refuses them with one sentence that tells nothing of the network behind us.

    ``allow`` are host names and networks (CIDR) of the operator's own that pass though they are not public.
    """

    def __init__(self, allow: Sequence[str] = (), *, resolve: Resolve = resolve) -> None:
        self._resolve = resolve
        self._names = {entry.rstrip(".").lower() for entry in allow if _network(entry) is None}
        self._networks = [network for entry in allow if (network := _network(entry)) is not None]

    async def check(self, url: str) -> Target:
        """The target that a URL stands for. Raises ``InvalidInput``."""
        target = _parsed(url)
        host = target.raw_host.decode("ascii").strip("[]").rstrip(".").lower()
        port = (443 if target.scheme == "https" else 80) if target.port is None else target.port
        if port not in _LOW_PORTS and not 1024 <= port < 65536:
            raise InvalidInput("The webhook's port must be 80, 443, or 1024 and above.")
        try:
            addresses = tuple(dict.fromkeys(await self._resolve(host, port)))
        except (OSError, UnicodeError):
            addresses = ()
        if not addresses or not all(self._passes(host, address) for address in addresses):
            raise InvalidInput("The webhook's host must be one that the public internet knows.")
        return Target(target, host, addresses[:_ADDRESSES])

    def _passes(self, host: str, address: str) -> bool:
        if host in self._names or is_public(address):
            return True
        try:
            ip: _Address = ipaddress.ip_address(address)
        except ValueError:
            return False
        if isinstance(ip, IPv6Address) and ip.ipv4_mapped:
            ip = ip.ipv4_mapped
        return any(ip in network for network in self._networks if network.version == ip.version)


def _parsed(url: str) -> httpx.URL:
    """The one reading of a URL; what connects uses the same."""
    form = InvalidInput("The webhook must be an address like https://example.org/path, of at most 2000 characters.")
    if len(url) > _LENGTH or not url.isascii() or not url.isprintable() or any(c in url for c in ' \\"<>^`{|}'):
        raise form
    try:
        target = httpx.URL(url)
        named = bool(target.host)  # which decodes it
    except (httpx.InvalidURL, ValueError):
        raise form from None
    if target.scheme not in ("http", "https") or not named:
        raise form
    if target.userinfo:
        raise InvalidInput("The webhook must not have a user name or a password in it.")
    return target.copy_with(fragment=None)


def _network(entry: str) -> IPv4Network | IPv6Network | None:
    try:
        return ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return None
