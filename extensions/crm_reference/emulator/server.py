"""The emulator over HTTP, by uvicorn, on loopback unless told otherwise."""

from __future__ import annotations

import errno
import gc
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from threading import Thread
from typing import Any, Literal
from urllib.parse import urlsplit

import requests
import uvicorn

from crm_reference.contract import load
from crm_reference.emulator.answers import ContractBreach
from crm_reference.emulator.engine import Engine
from crm_reference.emulator.messages import Request, Response, query_pairs
from crm_reference.emulator.webhooks import Delivery

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[_Scope, _Receive, _Send], Awaitable[None]]

#: Bodies above this are refused unread; no policy class allows as much.
MAX_BODY = 16 * 1024 * 1024
#: Longest path with its query, and most bytes of headers. No client of the contract comes near either.
MAX_TARGET = 16 * 1024
MAX_HEADERS = 64 * 1024

#: Paths that the engine answers where pages are served beside it.
_ANSWERED = ("/v1/", "/_emulator", "/.well-known/")

#: Sent with every answer, so that pages of another origin on this machine can call it.
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "*",
    "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE",
    "Access-Control-Expose-Headers": "*",
}
_RAW_CORS = [(name.lower().encode(), value.encode()) for name, value in _CORS.items()]


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
        try:
            body = await _read(receive)
        except _Gone:
            return
        if scope["method"] == "OPTIONS":
            response = Response(204)
        elif (refused := _refused(scope, body)) is not None:
            response = refused
        elif site is not None and not scope["path"].startswith(_ANSWERED):
            response = page(site, scope["path"]) if scope["method"] in ("GET", "HEAD") else _plain(405, "pages are read by GET")
        else:
            response = _answer(engine, scope, body or b"")
        await _write(response, scope["method"], send)

    return app


class _Gone(Exception):
    """The client left before its request was whole: half a body may be valid, and must not be taken for the whole."""


def _refused(scope: Mapping[str, Any], body: bytes | None) -> Response | None:
    """Return the answer to a request that is too large for any operation."""
    if body is None:
        return _plain(413, "the body is larger than any operation allows")
    if len(scope["raw_path"]) + len(scope["query_string"]) > MAX_TARGET:
        return _plain(414, f"path and query may have {MAX_TARGET} bytes")
    if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADERS:
        return _plain(431, f"headers may have {MAX_HEADERS} bytes")
    return None


def _plain(status: int, text: str) -> Response:
    return Response(status, {"Content-Type": "text/plain; charset=utf-8"}, f"{text}\n".encode())


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
        if message["type"] == "http.disconnect":
            raise _Gone
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= MAX_BODY:
            chunks.append(chunk)
        if not message.get("more_body"):
            return b"".join(chunks) if size <= MAX_BODY else None


def _answer(engine: Engine, scope: Mapping[str, Any], body: bytes) -> Response:
    # The raw path keeps encoded slashes; bytes that are no ASCII can't be in a valid path and are replaced.
    path = scope["raw_path"].partition(b"?")[0].decode("ascii", "replace")
    query = query_pairs(scope["query_string"].decode("utf-8", "surrogateescape"))
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        # A header that comes twice is a list (RFC 9110, section 5.3); where one value alone makes sense, the list is refused.
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    client = scope.get("client") or ("127.0.0.1", 0)
    try:
        return engine.handle(Request(scope["method"], path, query, headers, body, _plain_address(client[0])))
    except ContractBreach as breach:
        return _plain(500, f"bug in the emulator: {breach}")


def _plain_address(address: str) -> str:
    """Return an address as rules and limits know it: a socket of both families spells IPv4 as IPv6."""
    return address.removeprefix("::ffff:") if "." in address else address


async def _write(response: Response, method: str, send: _Send) -> None:
    body = b"" if method == "HEAD" else response.body
    raw = [(k.lower().encode("latin-1"), v.encode("latin-1", "replace")) for k, v in response.headers.items()]
    if response.status not in (204, 304):
        raw.append((b"content-length", b"%d" % len(response.body)))
    raw += _RAW_CORS
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
        port = listener.getsockname()[1]
        base = f"http://{host}:{port}"
        engine = Engine(load(root), world=world, database=database, clock=clock, limits=limits, site=base)
        # The contract lives as long as the server: without this the collector walks all of it again and again.
        gc.freeze()
        announce(f"Emulator of {len(engine.contract.operations)} operations at {base}/v1 (world {world}, clock {clock})")
        announce(f"export CRM_BASE={base}")
        announce(f"export CRM_TOKEN={engine.token('maya')}" if "maya" in engine.contract.principals else "")
        announce(f"Other people's tokens: curl '{base}/_emulator/token?principal=ines'. Stop with Ctrl-C.")
        pool = post_deliveries(engine)
        server = uvicorn.Server(
            uvicorn.Config(
                asgi(engine, site=site),
                http="httptools",
                ws="none",
                lifespan="off",
                log_level="warning",
                access_log=False,
                server_header=False,
                date_header=False,
                proxy_headers=False,  # any client could name any address
            )
        )
        try:
            server.run(sockets=[listener])
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            engine.close()


@contextmanager
def served(engine: Engine, *, site: Path | None = None) -> Iterator[str]:
    """Serve an engine on a free port of the loopback interface while a block runs, and yield its base URL."""
    with _listen("127.0.0.1", 0) as listener:
        config = uvicorn.Config(
            asgi(engine, site=site), http="httptools", ws="none", log_level="critical", lifespan="off", proxy_headers=False
        )
        server = uvicorn.Server(config)
        thread = Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()  # what comes before it runs waits at the listener
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(timeout=10)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # Without its protocol named, asyncio leaves Nagle's algorithm on, and an answer waits 40 ms for its acknowledgement.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()  # who calls while the contract is loaded waits for its answer
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise ServerError(f"port {port} is in use; choose another one with --port, or 0 for any that is free") from error
        if error.errno == errno.EACCES:
            raise ServerError(f"port {port} may not be used by this user; choose one above 1023 with --port") from error
        raise ServerError(f"can't listen on {host} port {port}: {error.strerror}") from error
    return listener
