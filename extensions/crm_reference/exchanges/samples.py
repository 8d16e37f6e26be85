"""Code that makes an exchange's request, in curl, Python and JavaScript, and the doctest that is executed.

What is promised: a sample sends the recorded request, header for header and byte for byte of its meaning, and runs as pasted
where ``CRM_BASE`` and ``CRM_TOKEN`` are set, in bash, in Python after :data:`START` and in Node 20. What is not: its exact
text.

Every sample is made from the recorded request, in which references have their values; an exchange that was never recorded has
none.
"""

from __future__ import annotations

import base64
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crm_reference.contract import Exchange, Operation, Recorded
from crm_reference.contract.examples import DEFAULT_PRINCIPAL
from crm_reference.exchanges.compose import SHOWN_TOKEN, content_of, is_json, path_of
from crm_reference.exchanges.errors import ExchangeError
from crm_reference.exchanges.literals import Source, json_literal, python_literal, script_literal, shell_word

#: Lines of samples are no longer, save where one word or string is.
WIDTH = 88

#: The session that Python samples call with: what the *Start* page shows, and what they are tested after.
START = '''\
import os
import requests


class Crm(requests.Session):
    """A session that knows where the API is and who calls."""

    def __init__(self, base: str, token: str) -> None:
        super().__init__()
        self.base = base
        self.headers["Authorization"] = f"Bearer {token}"

    def request(self, method, url, **options):
        return super().request(method, self.base + url, **options)


crm = Crm(os.environ["CRM_BASE"], os.environ["CRM_TOKEN"])
'''

#: Answer headers that a doctest doesn't compare: a transport sets them or leaves them out.
TRANSPORT_HEADERS = frozenset({"connection", "content-length", "date", "server", "transfer-encoding"})


@dataclass(frozen=True, slots=True)
class Doctest:
    """An exchange as a doctest.

    :param shown: What the page shows: the call and the status.
    :param tested: What is run: the same, then headers and body compared to the letter.
    """

    shown: str
    tested: str


@dataclass(frozen=True, slots=True)
class _Call:
    """A recorded request, taken apart for the samples.

    :param headers: All but the Authorization that holds the caller's token.
    :param media: Content-Type of the body; empty where the request has none.
    :param token: The caller's token is sent.
    :param public: No Authorization is sent at all.
    :param note: Whose token it must be; empty for the default caller's.
    :param redirected: The answer leads elsewhere: the sample shows it rather than following.
    """

    method: str
    path: str
    pairs: Sequence[tuple[str, str]]
    url: str
    headers: Mapping[str, str]
    media: str
    body: Any
    has_body: bool
    token: bool
    public: bool
    note: str
    redirected: bool = False

    @property
    def is_json(self) -> bool:
        """Whether the body is JSON that a client library can serialize itself."""
        return self.has_body and is_json(self.media) and not isinstance(self.body, str)

    @property
    def is_form(self) -> bool:
        """Whether the body is a form's fields."""
        return self.has_body and not self.is_json and isinstance(self.body, Mapping)

    @property
    def content(self) -> bytes:
        """The body's bytes, pretty where it is JSON."""
        if self.is_json:
            return json_literal(self.body, WIDTH - 16).encode()
        return content_of(self.body, self.media)

    @property
    def text(self) -> str | None:
        """The body as text, or ``None`` where it is none."""
        try:
            return self.content.decode()
        except UnicodeDecodeError:
            return None


def samples(exchange: Exchange, operation: Operation, /) -> dict[str, str]:
    """Return an exchange's samples by language: ``curl``, ``python`` and ``javascript``.

    :raises ExchangeError: If the exchange was never recorded.
    """
    call = _call(exchange, operation)
    return {"curl": _curl(call), "python": _python(call), "javascript": _javascript(call)}


def doctest_of(exchange: Exchange, operation: Operation, /) -> Doctest:
    """Return an exchange as a doctest; :mod:`.doctests` says what its namespace has.

    :raises ExchangeError: If the exchange was never recorded.
    """
    call = _call(exchange, operation)
    recorded = _recorded(exchange)
    first, *rest = _python_call(call).split("\n")
    shown = "\n".join([f">>> {first}", *(f"... {line}" for line in rest)])
    shown += f"\n>>> answer.status_code\n{recorded.status}\n"
    headers = {n: v for n, v in recorded.headers.items() if n.lower() not in TRANSPORT_HEADERS}
    tested = shown + _compared("headers_of(answer)", headers) + _compared("body_of(answer)", recorded.body)
    return Doctest(shown, tested)


def _compared(expression: str, value: Any) -> str:
    """Return a test that prints nothing where the two are the same, and else the first difference."""
    literal = textwrap.indent(python_literal(value, WIDTH), "...     ", lambda _: True)
    return f">>> differs(\n{literal},\n...     {expression},\n... )\n"


def _recorded(exchange: Exchange) -> Recorded:
    if exchange.recorded is None:
        message = f"{exchange.id} has no recorded answer; run `crm-reference record --only {exchange.id}`"
        raise ExchangeError(exchange.place, "exchange.unrecorded", message)
    return exchange.recorded


def _call(exchange: Exchange, operation: Operation) -> _Call:
    recorded = _recorded(exchange)
    authorization = recorded.request_headers.get("Authorization")
    token = authorization == SHOWN_TOKEN
    path, pairs = path_of(recorded.url)
    headers = {n: v for n, v in recorded.request_headers.items() if not (token and n == "Authorization")}
    other = token and exchange.principal != DEFAULT_PRINCIPAL
    return _Call(
        method=operation.method,
        path=path,
        pairs=pairs,
        url=recorded.url,
        headers=headers,
        media=next((v for n, v in headers.items() if n.lower() == "content-type"), ""),
        body=recorded.request_body,
        has_body=exchange.request.has_body,
        token=token,
        public=authorization is None,
        note=f"CRM_TOKEN is a token of {exchange.principal}" if other else "",
        redirected=300 <= recorded.status < 400 and recorded.status != 304,
    )


def _curl(call: _Call) -> str:
    as_data = call.method == "GET" and not call.has_body and len(call.url) > WIDTH - 30
    options = "-i -G " if as_data else "-I " if call.method == "HEAD" else "-i "
    if call.method not in ("HEAD", "POST" if call.has_body else "GET"):
        options += f"-X {call.method} "
    parts = [f'curl {options}"$CRM_BASE{call.path if as_data else call.url}"']
    if as_data:
        parts += [f"--data-urlencode {shell_word(f'{name}={value}')}" for name, value in call.pairs]
    if call.token:
        parts.append('-H "Authorization: Bearer $CRM_TOKEN"')
    # A header without a value is written with a semicolon: with a colon curl leaves it out.
    parts += [f"-H {shell_word(f'{n}: {v}' if v else f'{n};')}" for n, v in call.headers.items()]
    if call.has_body and not call.media:
        parts.append('-H "Content-Type:"')
    before = ""
    if call.is_form:
        parts += [f"--data-urlencode {shell_word(f'{n}={v}')}" for n, v in _fields(call)]
    elif call.has_body and call.text is None:
        before = f"echo {base64.b64encode(call.content).decode()} | base64 -d | "
        parts.append("--data-binary @-")
    elif call.has_body:
        parts.append(f"--data-raw {shell_word(str(call.text))}")
    return _noted("#", call, before + " \\\n  ".join(parts))


def _fields(call: _Call) -> list[tuple[str, str]]:
    return path_of("?" + call.content.decode())[1]


def _python(call: _Call) -> str:
    head = ["import os", "import requests", ""] if call.public else []
    return _noted("#", call, "\n".join([*head, _python_call(call), "print(answer.status_code, answer.text)"]))


def _python_call(call: _Call) -> str:
    where = f'"{call.path}"'
    arguments = [f'os.environ["CRM_BASE"] + {where}' if call.public else where]
    if call.pairs:
        arguments.append(_argument("params", _query(call)))
    headers = dict(call.headers)
    if call.is_json and call.body is not None:
        arguments.append(_argument("json", call.body))
        if call.media == "application/json":
            headers = {n: v for n, v in headers.items() if n.lower() != "content-type"}
    elif call.is_form:
        arguments.append(_argument("data", call.body))
        headers = {n: v for n, v in headers.items() if n.lower() != "content-type"}
    elif call.has_body:
        # Text beyond ASCII is given as bytes: http.client would send it as Latin-1.
        plain = call.text is not None and call.text.isascii()
        arguments.append(_argument("data", call.text if plain else Source(repr(call.content))))
    if headers:
        arguments.append(_argument("headers", headers))
    if call.redirected:
        arguments.append("allow_redirects=False")
    function = ("requests." if call.public else "crm.") + call.method.lower()
    flat = f"answer = {function}({', '.join(arguments)})"
    if len(flat) <= WIDTH - 4 and "\n" not in flat:
        return flat
    return "\n".join([f"answer = {function}(", *(textwrap.indent(a, "    ") + "," for a in arguments), ")"])


def _query(call: _Call) -> Any:
    """Return the query as a mapping, or as pairs where a name stands twice; whole numbers without quotes."""
    pairs = [(n, int(v) if v.isascii() and v.isdecimal() and str(int(v)) == v else v) for n, v in call.pairs]
    return dict(pairs) if len(dict(pairs)) == len(pairs) else [list(pair) for pair in pairs]


def _argument(name: str, value: Any) -> str:
    # four columns for the call's indentation, four for the doctest's prompt, one for the comma
    return f"{name}=" + python_literal(value, WIDTH - 10 - len(name))


def _javascript(call: _Call) -> str:
    options = [f'method: "{call.method}"'] if call.method != "GET" else []
    if call.redirected:
        options.append('redirect: "manual"')
    headers: dict[str, str] = {}
    if call.token:
        headers["Authorization"] = Source("`Bearer ${process.env.CRM_TOKEN}`")
    headers |= {n: v for n, v in call.headers.items() if not (call.is_form and n.lower() == "content-type")}
    if headers:
        options.append("headers: " + script_literal(headers, WIDTH - 13))
    if call.is_json:
        options.append(f"body: JSON.stringify({script_literal(call.body, WIDTH - 26)})")
    elif call.is_form:
        options.append(f"body: new URLSearchParams({script_literal(_fields(call), WIDTH - 31)})")
    elif call.has_body and (call.text is None or not call.media):
        # fetch gives a string a Content-Type of its own, and bytes none
        options.append(f'body: Buffer.from("{base64.b64encode(call.content).decode()}", "base64")')
    elif call.has_body:
        options.append(f"body: {script_literal(call.text, WIDTH)}")
    lines = _fetch(call)
    if options:
        lines[-1] += ", {"
        lines += [textwrap.indent(option, "  ") + "," for option in options]
        lines.append("});")
    else:
        lines[-1] += ");"
    lines.append("console.log(answer.status, await answer.text());")
    return _noted("//", call, "\n".join(lines))


def _fetch(call: _Call) -> list[str]:
    """Return the beginning of the call, the query or the path on lines of their own where the URL is long."""
    line = f"const answer = await fetch(`${{process.env.CRM_BASE}}{call.url}`"
    if len(line) + 3 <= WIDTH:
        return [line]
    if call.pairs:
        query = f"const query = new URLSearchParams({script_literal(_query(call), WIDTH - 36)});"
        line = f"const answer = await fetch(`${{process.env.CRM_BASE}}{call.path}?${{query}}`"
        return [*query.split("\n"), line]
    return [f'const path = "{call.path}";', "const answer = await fetch(process.env.CRM_BASE + path"]


def _noted(mark: str, call: _Call, text: str) -> str:
    return f"{mark} {call.note}\n{text}\n" if call.note else text + "\n"
