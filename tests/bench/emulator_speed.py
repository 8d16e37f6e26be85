"""The emulator over HTTP against Prism: validated POSTs a second on the same specification, on one machine, one after the other.

Prism (an npm package) answers from examples and keeps nothing; the emulator validates, stores, checks its own answer, writes
history and events. ``--prism`` names an installed Prism; without it npx fetches one.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import orjson

from crm_reference.contract import load
from crm_reference.contract.bundle import write_bundle

sys.path.insert(0, str(Path(__file__).parent))
import corpus

ROOT = Path(__file__).resolve().parents[2]
PRISM = "@stoplight/prism-cli@5.16.0"
CONNECTIONS = 8


@dataclass(frozen=True)
class Subject:
    """A specification that both servers answer, and what is posted.

    :param root: The project that the emulator serves.
    :param spec: The published document that Prism serves.
    :param body: Makes the body of a client's n-th request, different each time.
    """

    title: str
    root: Path
    spec: Path
    path: str
    body: Callable[[int, int], dict[str, Any]]


def main() -> None:
    """Print requests a second of each server on each specification, and the ratios to Prism."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0, help="how long each server is measured")
    parser.add_argument("--prism", default="", help="path of an installed prism")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for subject in (_platform(Path(folder)), _contacts(Path(folder))):
            print(f"{subject.title}: {len(load(subject.root).operations)} operations")
            found = {"prism": _measure(_prism(options.prism, subject.spec), subject, options.seconds, prefix="", warm=20)}
            database = Path(folder) / f"{subject.spec.parent.name}.db"
            for name, arguments in (("memory", []), ("database", ["--db", str(database)])):
                command = _emulator(subject.root, arguments)
                found[name] = _measure(command, subject, options.seconds, prefix="/v1", warm=1)
            for name, rate in found.items():
                print(f"  {name:<10} {rate:6.0f} POST/s  {rate / found['prism']:6.1f} of Prism's", flush=True)


def _contacts(folder: Path) -> Subject:
    """Return the Contacts service: a body of few of its forty fields, 25 rules, history, an event and a webhook for each."""
    write_bundle(load(ROOT), folder / "bundle")
    return Subject("Contacts", ROOT, folder / "bundle/contacts/openapi.json", "/contacts", _contact)


def _contact(client: int, number: int) -> dict[str, Any]:
    email = f"p{client}.{number}.{time.monotonic_ns()}@tidewater.example"
    return {"first_name": "Ingrid", "last_name": "Solberg", "email": email, "job_title": "Captain", "tags": ["fair"]}


def _platform(folder: Path) -> Subject:
    """Return a corpus as large as the platform: 33 services in one document, one resource of which is posted."""
    root = corpus.write(folder / "corpus", record=False)
    write_bundle(load(root), folder / "platform")
    return Subject("A platform of 33 services", root, folder / "platform/crm-openapi.json", "/service-aa-crates", _crate)


def _crate(client: int, number: int) -> dict[str, Any]:
    return {**corpus.BODY, "code": f"c{client}-{number}-{time.monotonic_ns()}"}


def _prism(path: str, spec: Path) -> list[str]:
    command = [path] if path else ["npx", "--yes", PRISM]
    if not path and shutil.which("npx") is None:
        sys.exit("Prism needs npx; install Node.js, or name an installed prism with --prism")
    return [*command, "mock", "--host", "127.0.0.1", "--port", "{port}", "--verboseLevel", "silent", str(spec)]


def _emulator(root: Path, arguments: list[str]) -> list[str]:
    program = str(Path(sys.executable).parent / "crm-reference")
    return [program, "--root", str(root), "emulate", "--port", "{port}", "--no-limits", *arguments]


def _measure(command: list[str], subject: Subject, seconds: float, *, prefix: str, warm: int) -> float:
    """Start a server, wait until it answers, send for a while, and stop it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    filled = [part.replace("{port}", str(port)) for part in command]
    with subprocess.Popen(filled, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True) as server:
        try:
            _wait(port, server)
            token = _token(port) if prefix else "any"
            asyncio.run(_load(port, subject, prefix, token, warm / 10))
            return asyncio.run(_load(port, subject, prefix, token, seconds))
        finally:
            os.killpg(server.pid, 15)


def _wait(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if server.poll() is not None:
            sys.exit(f"the server stopped at once, with exit code {server.returncode}: {' '.join(map(str, server.args))}")
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            time.sleep(0.2)
    sys.exit("the server doesn't answer within two minutes")


def _token(port: int) -> str:
    """Return a token that the server itself signed: it names the server as issuer."""
    with urlopen(f"http://127.0.0.1:{port}/_emulator/token", timeout=30) as answer:
        return str(orjson.loads(answer.read())["access_token"])


async def _load(port: int, subject: Subject, prefix: str, token: str, seconds: float) -> float:
    deadline = time.monotonic() + seconds
    begin = time.monotonic()
    counts = await asyncio.gather(*(_client(port, subject, prefix, token, deadline, number) for number in range(CONNECTIONS)))
    return sum(counts) / (time.monotonic() - begin)


async def _client(port: int, subject: Subject, prefix: str, token: str, deadline: float, number: int) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    sent = 0
    while time.monotonic() < deadline:
        body = orjson.dumps(subject.body(number, sent))
        head = (
            f"POST {prefix}{subject.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        status = await _answer(reader)
        if status != 201:
            sys.exit(f"a POST got {status}, and 201 was expected")
        sent += 1
    writer.close()
    return sent


async def _answer(reader: asyncio.StreamReader) -> int:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    status = int(head.split(b" ", 2)[1])
    if b"transfer-encoding: chunked" in head:
        while size := int(await reader.readline(), 16):
            await reader.readexactly(size + 2)
        await reader.readline()
    else:
        length = head.partition(b"content-length:")[2].split(b"\r\n")[0]
        await reader.readexactly(int(length or 0))
    return status


if __name__ == "__main__":
    main()
