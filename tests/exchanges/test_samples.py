"""Samples: run as pasted in bash, Python and Node against the emulator over HTTP, and held to their form."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from crm_reference.contract import Contract
from crm_reference.emulator import Engine, Request
from crm_reference.exchanges import START, ExchangeError, Replayer, doctest_of, samples
from crm_reference.exchanges.samples import WIDTH

NODE = shutil.which("node")

#: Exchange to what is special about it.
RUN = {
    "createBerth/every-field": "a JSON body and a key",
    "listBerths/every-parameter": "a long query",
    "listBerths/last-page": "a reference in the query",
    "updateBerth/every-field": "a merge patch and an ETag in quotes",
    "deleteBerth/one": "another caller and no body in the answer",
    "restoreBerth/name-taken": "a POST without a body, and an error",
    "searchBerths/free-and-long": "a deep body",
    "getBerthsLiveness/alive": "no token",
}


class Served:
    """An engine behind HTTP, which notes what arrives."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.arrived: list[Request] = []
        served = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                path, _, query = self.path.partition("?")
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Request(self.command, path, parse_qsl(query, keep_blank_values=True), headers, body)
                served.arrived.append(request)
                response = served.engine.handle(request)
                self.send_response_only(response.status)
                for name, value in response.headers.items():
                    self.send_header(name, value)
                if response.status not in (204, 304):
                    self.send_header("Content-Length", str(len(response.body)))
                self.end_headers()
                self.wfile.write(response.body)

            do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = answer  # noqa: N815  (the library's names)

            def log_message(self, *args: Any) -> None:
                return

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def served(recorded: tuple[Contract, Engine]) -> Iterator[Served]:
    found = Served(recorded[1])
    yield found
    found.close()


def command(language: str, code: str, folder: Path) -> list[str]:
    if language == "curl":
        return ["bash", "-euc", code]
    if language == "python":
        return [sys.executable, "-c", START + code]
    (folder / "sample.mjs").write_text(code, encoding="utf-8")
    return [str(NODE), str(folder / "sample.mjs")]


@pytest.mark.parametrize("name", RUN)
def test_samples_run_as_pasted(name: str, recorded: tuple[Contract, Engine], served: Served, tmp_path: Path) -> None:
    contract, engine = recorded
    exchange = contract.exchanges[name]
    replayer = Replayer(contract, engine)
    assert exchange.recorded is not None
    for language, code in samples(exchange, contract.operations[exchange.operation]).items():
        replayer.prepare(exchange)
        served.arrived.clear()
        principal = "maya" if exchange.principal == "none" else exchange.principal
        environment = {"PATH": os.environ["PATH"], "CRM_BASE": served.base, "CRM_TOKEN": replayer._tokens[principal]}
        ran = subprocess.run(
            command(language, code, tmp_path), env=environment, capture_output=True, text=True, timeout=60, check=False
        )

        assert ran.returncode == 0, f"{language}: {ran.stderr}"
        (arrived,) = served.arrived
        assert arrived.method == exchange.recorded.method
        assert f"{exchange.recorded.status}" in ran.stdout.splitlines()[0], f"{language}: {ran.stdout}"
        assert ("authorization" in arrived.headers) == ("Authorization" in exchange.recorded.request_headers)
        if exchange.recorded.request_body is not None:
            assert json.loads(arrived.body) == exchange.recorded.request_body
        for header, value in exchange.recorded.request_headers.items():
            assert header == "Authorization" or arrived.headers[header.lower()] == value
        body = exchange.recorded.body
        if body is not None:
            text = ran.stdout.partition("\r\n\r\n" if language == "curl" else " ")[2] or ran.stdout.partition("\n\n")[2]
            assert json.loads(text) == body, language


@pytest.fixture
def written(recorded: tuple[Contract, Engine]) -> dict[str, dict[str, str]]:
    contract, _ = recorded
    return {name: samples(x, contract.operations[x.operation]) for name, x in contract.exchanges.items()}


def test_lines_are_short(written: dict[str, dict[str, str]]) -> None:
    long = [
        f"{name} {language}: {line}"
        for name, found in written.items()
        for language, code in found.items()
        for line in code.splitlines()
        if len(line) > WIDTH and max(map(len, line.split())) < WIDTH - 20  # a cursor can't be broken
    ]

    assert long == []


def test_no_sample_holds_a_token(written: dict[str, dict[str, str]]) -> None:
    assert not [name for name, found in written.items() if "eyJ" in "".join(found.values())]


def test_python_is_what_a_reader_would_write(written: dict[str, dict[str, str]]) -> None:
    assert written["createBerth/name-taken"]["python"] == (
        'answer = crm.post("/v1/berths", json={"name": "north quay 1"})\nprint(answer.status_code, answer.text)\n'
    )
    assert written["updateBerth/stale"]["python"] == (
        "answer = crm.patch(\n"
        '    "/v1/berths/ber_01KDVDNA000000000000000001",\n'
        '    json={"name": "North Quay 1b"},\n'
        """    headers={"Content-Type": "application/merge-patch+json", "If-Match": '"7"'},\n"""
        ")\nprint(answer.status_code, answer.text)\n"
    )


def test_other_caller_is_named(written: dict[str, dict[str, str]]) -> None:
    first = {language: code.splitlines()[0] for language, code in written["deleteBerth/one"].items()}

    assert first == {
        "curl": "# CRM_TOKEN is a token of tomas",
        "python": "# CRM_TOKEN is a token of tomas",
        "javascript": "// CRM_TOKEN is a token of tomas",
    }


def test_quotes_survive_the_shell() -> None:
    from crm_reference.exchanges.literals import shell_word

    nasty = """it's "5" $HOME `id` \\ !! \n end"""
    ran = subprocess.run(["bash", "-c", f"printf %s {shell_word(nasty)}"], capture_output=True, text=True, check=True)

    assert ran.stdout == nasty


@pytest.mark.parametrize("value", ['"1"', "it's", "both ' and \"", "back\\slash", "line\nbreak", "snow ☃", "", None, True, 1.5, []])
def test_literals_read_back(value: Any) -> None:
    from crm_reference.exchanges.literals import json_literal, python_literal

    data = {"value": value, "list": [value]}

    assert eval(python_literal(data, 20)) == data
    assert json.loads(json_literal(data, 20)) == data


def test_doctest_shows_call_and_status_and_tests_the_rest(recorded: tuple[Contract, Engine]) -> None:
    contract, _ = recorded
    test = doctest_of(contract.exchanges["createBerth/name-alone"], contract.operations["createBerth"])

    assert test.shown == ('>>> answer = crm.post("/v1/berths", json={"name": "Dry Dock"})\n>>> answer.status_code\n201\n')
    assert test.tested.startswith(test.shown)
    assert re.search(r'"ETag": .*headers_of\(answer\)', test.tested, re.DOTALL)
    assert re.search(r'"name": "Dry Dock".*body_of\(answer\)', test.tested, re.DOTALL)


def test_unrecorded_exchange_has_no_sample(project: Any) -> None:
    contract, _ = project()

    with pytest.raises(ExchangeError, match=r"getBerth/one has no recorded answer; run `crm-reference record"):
        samples(contract.exchanges["getBerth/one"], contract.operations["getBerth"])
