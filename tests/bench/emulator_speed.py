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
from pathlib import Path

import orjson

from crm_reference.contract import load
from crm_reference.contract.bundle import write_bundle
from crm_reference.emulator import Engine

ROOT = Path(__file__).resolve().parents[2]
PRISM = "@stoplight/prism-cli@5.16.0"
CONNECTIONS = 8


def main() -> None:
    """Print requests a second of each server, and the ratios to Prism."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0, help="how long each server is measured")
    parser.add_argument("--prism", default="", help="path of an installed prism")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        spec = _spec(Path(folder))
        found = {"prism": _measure(_prism(options.prism, spec), options.seconds, prefix="", warm=20)}
        for name, arguments in (("memory", []), ("database", ["--db", str(Path(folder) / "crm.db")])):
            found[name] = _measure(_emulator(arguments), options.seconds, prefix="/v1", warm=1)
    print(f"{'server':<10} POST/s  of Prism's")
    for name, rate in found.items():
        print(f"{name:<10} {rate:6.0f}  {rate / found['prism']:8.1f}")


def _spec(folder: Path) -> Path:
    """Write the bundle and return the specification of Contacts, whole: both servers know the same operations."""
    write_bundle(load(ROOT), folder / "bundle")
    return folder / "bundle/contacts/openapi.json"


def _prism(path: str, spec: Path) -> list[str]:
    command = [path] if path else ["npx", "--yes", PRISM]
    if not path and shutil.which("npx") is None:
        sys.exit("Prism needs npx; install Node.js, or name an installed prism with --prism")
    return [*command, "mock", "--host", "127.0.0.1", "--port", "{port}", "--verboseLevel", "silent", str(spec)]


def _emulator(arguments: list[str]) -> list[str]:
    return [str(Path(sys.executable).parent / "crm-reference"), "emulate", "--port", "{port}", "--no-limits", *arguments]


def _measure(command: list[str], seconds: float, *, prefix: str, warm: int) -> float:
    """Start a server, wait until it answers, send for a while, and stop it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    filled = [part.replace("{port}", str(port)) for part in command]
    with subprocess.Popen(filled, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True) as server:
        try:
            _wait(port, server)
            token = Engine(load(ROOT)).token("maya")
            asyncio.run(_load(port, prefix, token, warm / 10))
            return asyncio.run(_load(port, prefix, token, seconds))
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


async def _load(port: int, prefix: str, token: str, seconds: float) -> float:
    deadline = time.monotonic() + seconds
    begin = time.monotonic()
    counts = await asyncio.gather(*(_client(port, prefix, token, deadline, number) for number in range(CONNECTIONS)))
    return sum(counts) / (time.monotonic() - begin)


async def _client(port: int, prefix: str, token: str, deadline: float, number: int) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    sent = 0
    while time.monotonic() < deadline:
        email = f"p{number}.{time.monotonic_ns()}@tidewater.example"
        body = orjson.dumps(
            {"first_name": "Ingrid", "last_name": "Solberg", "email": email, "job_title": "Captain", "tags": ["fair"]}
        )
        head = (
            f"POST {prefix}/contacts HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
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
