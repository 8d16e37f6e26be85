"""Where examples run: a world, a session, and nothing else of the machine.

On a :class:`Stage`, ``requests`` reaches the emulator at ``https://api.crm.example`` and no other host, the environment has
``CRM_BASE``, ``CRM_TOKEN`` and a ``CRM_TOKEN_NAME`` for each principal, and every clock of the process shows the world's time,
so that a webhook verifier or a JWT library that compares with *now* comes to the same result on any day. All of it ends with
the ``with`` block.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any
from unittest import mock

import requests
import requests_mock
import time_machine

from crm_reference.contract.examples import DEFAULT_PRINCIPAL
from crm_reference.emulator.call import SITE
from crm_reference.emulator.transport import from_prepared
from crm_reference.exchanges.compose import NOBODY, parsed
from crm_reference.exchanges.pointers import contrast, difference
from crm_reference.exchanges.samples import START, TRANSPORT_HEADERS

if TYPE_CHECKING:
    from crm_reference.contract import Contract
    from crm_reference.emulator import Engine

#: What programs need of the machine's environment.
_KEPT = ("HOME", "LANG", "PATH", "TMPDIR", "SYSTEMROOT")

_START = compile(START, "<start>", "exec")


class Stage:
    """The surroundings of examples; a context manager.

    :param contract: Whose principals get tokens.
    :param engine: The emulator that answers.
    """

    def __init__(self, contract: Contract, engine: Engine) -> None:
        self.engine = engine
        # at the world's start: a token made later would not be valid yet in the next world
        engine.reset()
        self._tokens = {name: engine.token(name) for name in contract.principals}
        self._stack = ExitStack()
        self._traveller: Any = None

    def __enter__(self) -> Stage:
        environment = {f"CRM_TOKEN_{n.upper().replace('-', '_')}": token for n, token in self._tokens.items()}
        environment["CRM_BASE"] = SITE
        # Nothing of the machine may reach into an example: no netrc, no proxy. requests reads all there is with each call.
        environment |= {"NETRC": os.devnull, "NO_PROXY": "*", "no_proxy": "*"}
        environment |= {name: os.environ[name] for name in _KEPT if name in os.environ}
        self._stack.enter_context(mock.patch.dict(os.environ, environment, clear=True))
        mocker = self._stack.enter_context(requests_mock.Mocker())
        mocker.add_matcher(self._answer)
        self._traveller = self._stack.enter_context(time_machine.travel(self.engine.clock.time(), tick=False))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    def namespace(self, principal: str = DEFAULT_PRINCIPAL, /) -> dict[str, Any]:
        """Return a fresh namespace for one example on the engine's present world.

        It holds what *Start* shows (``crm``, ``Crm``, ``requests``, ``os``) and the comparisons of :func:`.doctest_of`.

        :param principal: Whose token ``crm`` sends; that of the default caller for nobody, who calls without ``crm``.
        """
        self._traveller.move_to(self.engine.clock.time())
        token = self._tokens[DEFAULT_PRINCIPAL if principal == NOBODY else principal]
        names: dict[str, Any] = {"__name__": "__main__", "differs": differs, "headers_of": headers_of, "body_of": body_of}
        os.environ["CRM_TOKEN"] = token
        exec(_START, names)
        return names

    def _answer(self, request: Any) -> requests.Response | None:
        if not request.url.startswith(SITE + "/"):
            return None
        response = self.engine.handle(from_prepared(request))
        self._traveller.move_to(self.engine.clock.time())
        return requests_mock.create_response(request, status_code=response.status, headers=response.headers, content=response.body)


def differs(documented: Any, answered: Any, /) -> None:
    """Print the first difference by pointer; print nothing where there is none."""
    unlike = difference(documented, answered)
    if unlike:
        wanted, found = contrast(*unlike[1:])
        print(f"{unlike[0]}: documented {wanted}, answered {found}")  # noqa: T201  (doctest compares what is printed)


def headers_of(answer: requests.Response, /) -> dict[str, str]:
    """Return an answer's headers without those that a transport sets."""
    return {name: value for name, value in answer.headers.items() if name.lower() not in TRANSPORT_HEADERS}


def body_of(answer: requests.Response, /) -> Any:
    """Return an answer's body as it is recorded."""
    return parsed(answer.content, answer.headers.get("Content-Type", ""))
