"""Finds in the kernel's tables which user listens at a TCP port, and which user is at the other end of a connection.

Servers on 127.0.0.1 can be reached, and their ports taken, by every user of the machine. Secrets are sent to a port only
after a check that this user, or root, holds it.
"""

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Any, NamedTuple

from ml_assets.errors import MLAssetsError
from ml_assets.state.home import port, url

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
"""Linux's tables of TCP sockets (proc(5)): addresses in hexadecimal, the state, the user."""
ESTABLISHED, LISTENING = "01", "0A"
Address = tuple[str, int]
"""An IP address without brackets, and a port."""


class StrangerListens(MLAssetsError, OSError):
    """The port of one of our services is held by another user of the machine; the message says what to do."""


class Socket(NamedTuple):
    """One TCP socket: its two addresses, its state (two hexadecimal digits) and the user id of its owner."""

    local: Address
    remote: Address
    state: str
    user: int


def sockets() -> Iterator[Socket]:
    """All TCP sockets of this machine (of this network namespace), as the kernel lists them."""
    for table in TABLES:
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            fields = line.split()
            yield Socket(_address(fields[1]), _address(fields[2]), fields[3], int(fields[7]))


def known() -> bool:
    """Whether this system has the tables that show the owners of sockets."""
    return any(table.exists() for table in TABLES)


def holder(number: int) -> int | None:
    """The id of the user who listens for connections to 127.0.0.1 at this port; None if nobody does."""
    found = {s.local[0]: s.user for s in sockets() if s.state == LISTENING and s.local[1] == number}
    return next((found[ip] for ip in ("127.0.0.1", "0.0.0.0", "::") if ip in found), None)


def peer(client: Address, server: Address) -> int | None:
    """The id of the user whose process opened the connection from `client` to `server`; None if it is closed or remote.

    The tables no longer show the owner of a socket that its process has closed, so that only an open connection counts.
    """
    for table in TABLES:
        text = table.read_text() if table.exists() else ""
        for ours, theirs in zip(_fields(client), _fields(server), strict=True):
            # a text search, which is fast: the guard checks each request, and there may be thousands of rows
            place = text.find(f" {ours} {theirs} {ESTABLISHED} ")
            if place >= 0:
                return int(text[place:].split(maxsplit=7)[6])
    return None


def trusted(user: int | None) -> bool:
    """Whether the user id is that of this process or of root, who can read everything anyway."""
    return user is not None and user in (0, os.geteuid())


def refuse_stranger(service: str) -> None:
    """Check that no other user of the machine holds a service's port; servers that the environment names are not checked.

    Raises:
        StrangerListens: Another user holds the port.
    """
    if url(service) != f"http://127.0.0.1:{port(service)}":
        return
    user = holder(port(service))
    if user is not None and not trusted(user):
        raise _stranger(service, user)


def watched(service: str) -> Callable[[str, Mapping[str, Any]], None]:
    """Make an httpx `trace` function that checks each new connection to a service before anything is sent through it.

    A check before the request cannot see that a server dies right after it and another user takes its port. So the listening
    user is checked once more, and then the user at the connection's other end. The function raises `StrangerListens`.
    """

    def look(event: str, info: Mapping[str, Any]) -> None:
        if event != "connection.connect_tcp.complete":
            return
        stream = info["return_value"]
        connection: socket.socket = stream.get_extra_info("socket")
        try:
            refuse_stranger(service)
            if url(service) == f"http://127.0.0.1:{port(service)}":
                try:
                    ends = connection.getpeername(), connection.getsockname()
                except OSError:  # it was reset meanwhile: nothing can be sent
                    return
                user = peer(*ends)
                if user is not None and not trusted(user):
                    raise _stranger(service, user)
        except BaseException:
            stream.close()
            raise

    return look


def _stranger(service: str, user: int) -> StrangerListens:
    return StrangerListens(
        f"port {port(service)} of {service} is held by another user of this machine (user id {user}): nothing secret is "
        f"sent there; set ML_ASSETS_{service.upper()}_PORT to a free port and start the servers again with `ml-assets up`"
    )


def _address(field: str) -> Address:
    """Parse an address of the kernel's tables: each group of four bytes is in the processor's byte order."""
    host, _, number = field.partition(":")
    words = [bytes.fromhex(host[i : i + 8])[::-1] for i in range(0, len(host), 8)]
    return _normal((str(ip_address(b"".join(words))), int(number, 16)))


def _fields(address: Address) -> list[str]:
    """Format an address as it may appear in the kernel's tables: an IPv4 address as it is, and mapped into IPv6."""
    host, number = ip_address(_normal(address)[0]), f"{address[1]:04X}"
    bytes_of = [host.packed] + ([b"\0" * 10 + b"\xff\xff" + host.packed] if host.version == 4 else [b""])
    return [
        "".join(packed[i : i + 4][::-1].hex().upper() for i in range(0, len(packed), 4)) + f":{number}" for packed in bytes_of
    ]


def _normal(address: Address) -> Address:
    """The address, with an IPv4 address that is mapped into IPv6 turned back into IPv4."""
    host = ip_address(address[0])
    mapped = host.ipv4_mapped if isinstance(host, IPv6Address) else None
    return (str(mapped or host), address[1])
