"""``vivavoce serve``: the HTTP server on one port or several."""

import socket
from contextlib import suppress
from typing import Annotated

import typer

from vivavoce.cli.console import out, settings
from vivavoce.errors import InvalidInput

__all__ = ["bind", "serve"]

_BACKLOG = 256
_GRACE = 3
"""Seconds that open answers get when the server ends."""


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; 127.0.0.1 unless set.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 3000 unless set, 0 takes a free one.")] = None,
    also: Annotated[str, typer.Option(help="More ports for clients of other systems, such as 5000,8000.")] = "",
) -> None:
    """Start the server: pages, APIs, and the workers behind them."""
    import uvicorn
    from pydantic import ValidationError

    from vivavoce.web.app import create_app

    changes = {k: v for k, v in (("host", host), ("port", port)) if v is not None}
    try:
        held = settings().with_server(**changes)
    except ValidationError as e:
        raise InvalidInput(f"{e.errors(include_url=False)[0]['msg']}.") from None
    sockets = [bind(held.server.host, number) for number in (held.server.port, *_ports(also))]
    for opened in sockets:
        out.print(f"vivavoce is at http://{_address(opened)}", highlight=False)
    config = uvicorn.Config(
        create_app(held), log_level="warning", access_log=False, timeout_graceful_shutdown=_GRACE, server_header=False
    )
    with suppress(KeyboardInterrupt):  # uvicorn raises the signal again after its orderly end: that is no failure
        uvicorn.Server(config).run(sockets=sockets)


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; raises ``InvalidInput`` with what to do when the port is taken or forbidden."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio switches Nagle's delay off only where it sees the protocol: without it every small answer waits 40 ms.
    opened = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((host, port))
        opened.listen(_BACKLOG)
    except OSError as e:
        opened.close()
        raise InvalidInput(
            f"Port {port} of {host} cannot be used ({e.strerror or e}); choose another with --port."
        ) from None
    return opened


def _ports(text: str) -> list[int]:
    ports = []
    for part in filter(None, (p.strip() for p in text.split(","))):
        if not part.isdecimal() or not 0 < int(part) < 65536:
            raise InvalidInput(f"{part!r} is not a port; --also takes numbers such as 5000,8000.")
        ports.append(int(part))
    return ports


def _address(opened: socket.socket) -> str:
    host, port = opened.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
