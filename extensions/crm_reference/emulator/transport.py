"""The emulator as a transport of ``requests``, and behind requests-mock."""

from __future__ import annotations

from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import requests
import requests_mock
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from crm_reference.emulator.call import SITE
from crm_reference.emulator.engine import Engine
from crm_reference.emulator.messages import Request, query_pairs


def from_prepared(prepared: requests.PreparedRequest, /) -> Request:
    """Return a prepared request as the engine takes it. The URL is read whole: requests-mock lower-cases its ``path``."""
    url = urlsplit(prepared.url or "")
    body = prepared.body or b""
    return Request(
        prepared.method or "GET",
        url.path,
        query_pairs(url.query),
        {name.lower(): _text(value) for name, value in prepared.headers.items()},
        body.encode() if isinstance(body, str) else bytes(body),
    )


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


class EngineAdapter(BaseAdapter):
    """Answers requests from an engine, without a network."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self._engine = engine

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Answer one prepared request."""
        answer = self._engine.handle(from_prepared(request))
        response = requests.Response()
        response.status_code = answer.status
        response.headers = CaseInsensitiveDict(answer.headers)
        response.raw = BytesIO(answer.body)
        response.url = request.url or ""
        response.request = request
        response.encoding = "utf-8"
        response._content = answer.body
        return response

    def close(self) -> None:
        """Do nothing: there is no connection."""


class Session(requests.Session):
    """A session that knows the base URL and sends a token.

    :param token: Access token; none where empty.
    """

    def __init__(self, base: str = SITE, token: str = "") -> None:
        super().__init__()
        self.base = base
        if token:
            self.headers["Authorization"] = f"Bearer {token}"

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **options: Any) -> requests.Response:
        """Send a request; a path is taken below the base URL."""
        path = url.decode() if isinstance(url, bytes) else url
        return super().request(method, self.base + path if path.startswith("/") else path, *args, **options)


def session(engine: Engine, principal: str = "maya", **options: Any) -> Session:
    """Return a session whose transport is an engine; options as in :meth:`Engine.token`. An empty principal sends no token."""
    made = Session(token=engine.token(principal, **options) if principal else "")
    made.mount("https://", EngineAdapter(engine))
    return made


def mount(engine: Engine, mocker: requests_mock.Mocker, /) -> None:
    """Route every request to the documented host, from whatever session, to an engine."""

    def matcher(prepared: Any) -> requests.Response | None:
        if not prepared.url.startswith(SITE + "/"):
            return None
        answer = engine.handle(from_prepared(prepared))
        return requests_mock.create_response(prepared, status_code=answer.status, headers=answer.headers, content=answer.body)

    mocker.add_matcher(matcher)
