"""The emulator over HTTP, by uvicorn, on loopback unless told otherwise."""

from __future__ import annotations

import errno
import socket
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

import requests
import uvicorn

from crm_reference.contract import load
from crm_reference.emulator.engine import ContractBreach, Engine
from crm_reference.emulator.messages import Request, Response
from crm_reference.emulator.webhooks import Delivery

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[_Scope, _Receive, _Send], Awaitable[None]]

#: Bodies above this are refused unread; no policy class allows as much.
MAX_BODY = 16 * 1024 * 1024

#: Sent with every answer, so that pages of another origin on this machine can call it.
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "*",
    "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE",
    "Access-Control-Expose-Headers": "*",
}


class ServerError(Exception):
    """The server can't start; the message says why and what to do."""


def asgi(engine: Engine, *, site: Path | None = None) -> App:
    """Return an ASGI application that answers from an engine.

    :param site: Folder of built pages to serve beside it, on the same origin.
    """
    from crm_reference.emulator.site import page

    async def app(scope: _Scope, receive: _Receive, send: _Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        body = await _read(receive)
        if scope["method"] == "OPTIONS":
            response = Response(204)
        elif body is None:
            response = Response(413, {"Content-Type": "text/plain"}, b"the body is larger than any operation allows\n")
        elif site is not None and not scope["path"].startswith(("/v1/", "/_emulator")):
            response = page(site, scope["path"])
        else:
            response = _answer(engine, scope, body)
        await _write(response, scope["method"], send)

    return app


async def _lifespan(receive: _Receive, send: _Send) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _read(receive: _Receive) -> bytes | None:
    chunks, size = [], 0
    while True:
        message = await receive()
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= MAX_BODY:
            chunks.append(chunk)
        if not message.get("more_body"):
            return b"".join(chunks) if size <= MAX_BODY else None


def _answer(engine: Engine, scope: Mapping[str, Any], body: bytes) -> Response:
    # The raw path keeps encoded slashes; bytes that are no ASCII can't be in a valid path and are replaced.
    path = scope.get("raw_path", b"").split(b"?")[0].decode("ascii", "replace") or scope["path"]
    query = parse_qsl(scope["query_string"].decode("utf-8", "replace"), keep_blank_values=True)
    headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
    client = scope.get("client") or ("127.0.0.1", 0)
    try:
        return engine.handle(Request(scope["method"], path, query, headers, body, client[0]))
    except ContractBreach as breach:
        return Response(500, {"Content-Type": "text/plain; charset=utf-8"}, f"bug in the emulator: {breach}\n".encode())


async def _write(response: Response, method: str, send: _Send) -> None:
    body = b"" if method == "HEAD" else response.body
    headers = {**response.headers, **_CORS}
    if response.status not in (204, 304):
        headers["Content-Length"] = str(len(response.body))
    raw = [(k.lower().encode("latin-1"), v.encode("latin-1", "replace")) for k, v in headers.items()]
    await send({"type": "http.response.start", "status": response.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


def post_deliveries(engine: Engine) -> ThreadPoolExecutor:
    """Really post webhook deliveries whose URL is on this machine; others are only kept, to be looked at.

    :return: The pool that posts; shut it down to stop.
    """
    pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="webhooks")

    def post(delivery: Delivery) -> None:
        if _on_loopback(delivery.url):
            pool.submit(_post, delivery)

    engine.webhooks.post = post
    return pool


def _post(delivery: Delivery) -> None:
    try:
        requests.post(delivery.url, data=delivery.body.encode(), headers=dict(delivery.headers), timeout=5, allow_redirects=False)
    except requests.RequestException:
        return  # A receiver that is down shows in its own log; the delivery stays in /_emulator/deliveries.


def _on_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def serve(
    root: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8640,
    database: Path | None = None,
    world: str = "brightwater",
    clock: Literal["world", "real"] = "real",
    limits: bool = True,
    site: Path | None = None,
    announce: Callable[[str], None] = lambda line: None,
) -> None:
    """Serve a project's emulator until it is interrupted.

    :param announce: Called with each line that a person should read.
    :raises ServerError: If the port is taken or may not be used.
    :raises ContractError: If the contract can't be loaded.
    :raises StoreError: If the database file can't be used.
    """
    listener = _listen(host, port)
    with listener:
        engine = Engine(load(root), world=world, database=database, clock=clock, limits=limits)
        port = listener.getsockname()[1]
        base = f"http://{host}:{port}"
        announce(f"Emulator of {len(engine.contract.operations)} operations at {base}/v1 (world {world}, clock {clock})")
        announce(f"export CRM_BASE={base}")
        announce(f"export CRM_TOKEN={engine.token('maya')}" if "maya" in engine.contract.principals else "")
        announce(f"Other people's tokens: curl '{base}/_emulator/token?principal=ines'. Stop with Ctrl-C.")
        pool = post_deliveries(engine)
        server = uvicorn.Server(
            uvicorn.Config(asgi(engine, site=site), log_level="warning", access_log=False, server_header=False, date_header=False)
        )
        try:
            server.run(sockets=[listener])
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            engine.close()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise ServerError(f"port {port} is in use; choose another one with --port, or 0 for any that is free") from error
        if error.errno == errno.EACCES:
            raise ServerError(f"port {port} may not be used by this user; choose one above 1023 with --port") from error
        raise ServerError(f"can't listen on {host} port {port}: {error.strerror}") from error
    return listener
