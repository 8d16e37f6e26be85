"""Requests that no client should send, over a real socket: each gets a 4xx that is documented, never a 5xx, and nothing hangs."""

from __future__ import annotations

import json
import socket
import threading
import time

import pytest
import uvicorn

from crm_reference.contract import load
from crm_reference.emulator import Engine
from crm_reference.emulator.server import MAX_BODY, asgi
from crm_reference.emulator.site import page

BERTH = "ber_01KDVDNA000000000000000001"
#: A server that has nothing to say within this time hangs.
PATIENCE = 10


@pytest.fixture(scope="module")
def engine(harbour_root):
    found = Engine(load(harbour_root), limits=False)
    yield found
    found.close()


@pytest.fixture(scope="module")
def address(engine):
    config = uvicorn.Config(
        asgi(engine), host="127.0.0.1", port=0, http="httptools", ws="none", loop="asyncio", log_level="critical", lifespan="off"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
    yield server.servers[0].sockets[0].getsockname()
    server.should_exit = True
    thread.join(5)


@pytest.fixture
def send(address, engine):
    """Return a function that writes bytes as they are and returns the status, the headers in lower case, and the body."""

    def call(request, *, shut=False):
        with socket.create_connection(address, timeout=PATIENCE) as connection:
            try:
                connection.sendall(request)
                if shut:
                    connection.shutdown(socket.SHUT_WR)
            except (BrokenPipeError, ConnectionResetError):
                pass  # refused before all was read: the answer is there
            answer = b""
            while b"\r\n\r\n" not in answer and (more := connection.recv(65_536)):
                answer += more
            head, _, body = answer.partition(b"\r\n\r\n")
            headers = dict(line.lower().split(": ", 1) for line in head.decode("latin-1").split("\r\n")[1:])
            while len(body) < int(headers.get("content-length", 0)) and (more := connection.recv(65_536)):
                body += more
        return (int(head.split(b" ")[1]) if head else 0), headers, body

    return call


@pytest.fixture
def ask(send, engine):
    """Return a function that sends a request of a method, a raw target, headers and a body, with a token of Maya's."""

    def call(method, target, body=b"", headers=b"", media=b"application/json"):
        token = engine.token("maya").encode()
        head = b"%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer %s\r\n" % (method, target, token)
        if body:
            head += b"Content-Type: %s\r\nContent-Length: %d\r\n" % (media, len(body))
        return send(head + headers + b"\r\n" + body)

    return call


TARGETS = [
    (b"/v1/../v1/berths", 404),
    (b"/v1/berths/..", 404),
    (b"/v1/berths/../../etc/passwd", 404),
    (b"/v1/berths/%2e%2e%2f%2e%2e%2fetc%2fpasswd", 404),
    (b"/v1/berths/%00", 404),
    (b"/v1/berths/%zz", 404),
    (b"/v1/berths/%", 404),
    (b"/v1/berths/%ff%fe", 404),
    (b"/v1/berths/%C0%AF", 404),
    (b"/v1/berths/" + b"A" * 5_000, 404),
    (b"/v1/berths/" + b"%41" * 500, 404),
    (b"/v1/berths//", 404),
    (b"//v1//berths", 404),
    (b"/v1" + b"/a" * 2_000, 404),
    (b"/", 404),
    (b"/v1/berths?limit=%ff", 400),
    (b"/v1/berths?%ff=1", 400),
    (b"/v1/berths?limit=%00", 400),
    (b"/v1/berths?status=%ED%A0%80", 400),
    (b"/v1/berths?limit=1%zz", 400),
    (b"/v1/berths?cursor=%00%00", 400),
    (b"/v1/berths?limit=999999999999999999999999", 400),
    (b"/v1/berths?limit=1&limit=2", 400),
    (b"/v1/berths?" + b"a=1&" * 2_000, 400),
    (b"/v1/berths?sort=" + b"x" * 9_000, 400),
    (b"/v1/berths?=1", 400),
    (b"/v1/berths?limit=" + b"1" * 20_000, 414),
    (b"/v1/" + b"a" * 20_000, 414),
]


@pytest.mark.parametrize(("target", "status"), TARGETS, ids=lambda v: v[:40].decode() if isinstance(v, bytes) else str(v))
def test_targets(ask, target, status):
    answer = ask(b"GET", target)

    assert status == answer[0], answer
    assert len(answer[2]) < 20_000


def test_bytes_beyond_ascii_in_a_path_are_no_path(ask):
    assert ask(b"GET", b"/v1/berths/\xff\xfe")[0] in (400, 404)


BODIES = [
    (b"", 400),
    (b"{", 400),
    (b"\x00", 400),
    (b"\xff\xfe{\x00}\x00", 400),
    (b"\xef\xbb\xbf{}", 400),
    (b'{"name": "\xff"}', 400),
    (b'{"name": "\\ud800"}', 400),
    (b'{"name": "a", "name": "b"}', 400),
    (b'{"name": NaN}', 400),
    (b"[" * 100_000, 400),
    (b"[" * 100_000 + b"]" * 100_000, 400),
    (b'{"name": ' + b'{"a": ' * 500 + b"1" + b"}" * 501, 400),
    (b"[]", 422),
    (b"null", 422),
    (b'"text"', 422),
    (b"1e999", (400, 422)),
    (b'{"name": "a", "length_metres": 1e999}', (400, 422)),
    (b'{"name": "a", "length_metres": 1' + b"0" * 400 + b"}", (400, 422)),
    (b'{"name": "a", "length_metres": -0.0e-999}', 422),
    (b'{"": 1}', 422),
    (b'{"name": "' + b"x" * 10_485_760 + b'"}', 413),
]


@pytest.mark.parametrize(("body", "status"), BODIES, ids=lambda v: v[:40].decode("latin-1") if isinstance(v, bytes) else str(v))
def test_bodies(ask, body, status):
    answer = ask(b"POST", b"/v1/berths", body, headers=b"" if body else b"Content-Type: application/json\r\n")

    assert answer[0] in (status if isinstance(status, tuple) else (status,)), answer
    assert answer[1]["content-type"] == "application/problem+json"
    assert "code" in json.loads(answer[2])


def test_a_body_beyond_all_classes_is_refused(ask):
    assert ask(b"POST", b"/v1/berths", b"x" * (MAX_BODY + 1))[0] == 413


@pytest.mark.parametrize("media", [b"text/plain", b"", b";", b"application/json, text/plain", b"\xff", b"APPLICATION/XML"])
def test_media_types(ask, media):
    assert ask(b"POST", b"/v1/berths", b"{}", media=media)[0] == 415


HEADERS = [
    (b"Authorization: Bearer x\r\n", 401),  # beside the one that holds
    (b"If-None-Match: \xff\r\n", (200, 400)),
    (b"X-Large: " + b"x" * 100_000 + b"\r\n", 431),
    (b"X-Many: x\r\n" * 12_000, 431),
    (b"Accept-Language: " + b"de;q=x," * 5_000 + b"\r\n", 200),
    (b"Content-Length: 5\r\nContent-Length: 6\r\n", 400),
    (b"Content-Length: -1\r\n", 400),
    (b"Content-Length: five\r\n", 400),
    (b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 400),
    (b"No colon\r\n", 400),
    (b"X-Nul: \x00\r\n", 400),
    (b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n", 200),
]


@pytest.mark.parametrize(("headers", "status"), HEADERS, ids=lambda v: v[:30].decode("latin-1") if isinstance(v, bytes) else str(v))
def test_headers(ask, headers, status):
    answer = ask(b"GET", f"/v1/berths/{BERTH}".encode(), headers=headers)

    assert answer[0] in (status if isinstance(status, tuple) else (status,)), answer


@pytest.mark.parametrize("key", [b"short", b"\xc3\xa4" * 20, b"a" * 9_000, b"a\tb-0123456789"])
def test_keys(ask, key):
    assert ask(b"POST", b"/v1/berths", b"{}", headers=b"Idempotency-Key: %s\r\n" % key)[0] == 400


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        (b"OPTIONS", b"/v1/berths", 204),
        (b"OPTIONS", b"*", 204),
        (b"HEAD", b"/v1/berths", 405),
        (b"HEAD", b"/v1/nowhere", 404),
        (b"TRACE", b"/v1/berths", 405),
        (b"PROPFIND", b"/v1/berths", 405),
        (b"get", b"/v1/berths", 400),
        (b"NOSUCH", b"/v1/berths", 400),
    ],
)
def test_methods(ask, method, target, status):
    answer = ask(method, target)

    assert status == answer[0], answer
    if method == b"HEAD":
        assert answer[2] == b""
    if status == 405:
        assert answer[1]["allow"] == "get, post"


@pytest.mark.parametrize(
    "request_",
    [b"\r\n\r\n\r\n", b"GET\r\n\r\n", b"GET /v1/berths\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/9.9\r\n\r\n"],
)
def test_no_http(send, request_):
    assert send(request_, shut=True)[0] in (0, 400, 401, 505)


def test_half_a_body_is_never_taken_for_the_whole(send, engine):
    before = len(engine.outbox)
    token = engine.token("maya").encode()
    head = b"POST /v1/berths HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n" % token
    begun = time.monotonic()
    answer = send(head + b'Content-Length: 500\r\n\r\n{"name": "Half"}', shut=True)

    assert answer[0] in (0, 400)
    assert time.monotonic() - begun < PATIENCE / 2
    assert before == len(engine.outbox)


@pytest.mark.parametrize(
    ("target", "body"),
    [
        (b"/_emulator/clock/advance", b"[]"),
        (b"/_emulator/clock/advance", b"{"),
        (b"/_emulator/clock/advance", b'{"seconds": 1e300}'),
        (b"/_emulator/clock/advance", b'{"seconds": 999999999999}'),
        (b"/_emulator/clock/advance", b"{}"),
        (b"/_emulator/clock/advance?seconds=%ff", b""),
        (b"/_emulator/faults", b'{"dependency": "nobody"}'),
        (b"/_emulator/faults", b'{"dependency": "database", "kind": "loud"}'),
        (b"/_emulator/faults", b'{"dependency": "database", "status": 500}'),
        (b"/_emulator/faults?dependency=%ed%a0%80", b""),
        (b"/_emulator/events", b'{"data": 1}'),
    ],
)
def test_control(ask, engine, target, body):
    status, _, said = ask(b"POST", target, body)

    assert status == 400, said
    assert json.loads(said)["error"]
    assert not engine.world.faults


@pytest.mark.parametrize("path", ["/%00", "/%2e%2e/%2e%2e/etc/passwd", "/" + "a" * 5_000, "/..", "/%ff"])
def test_pages(tmp_path, path):
    assert page(tmp_path, path).status == 404


def test_the_server_goes_on(ask):
    assert ask(b"GET", b"/v1/berths")[0] == 200
