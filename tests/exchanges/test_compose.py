"""Requests as they are sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from crm_reference.contract import Contract, Exchange
from crm_reference.emulator import Engine
from crm_reference.exchanges import ExchangeError
from crm_reference.exchanges.compose import Composer, content_of, parsed

Project = Callable[[], tuple[Contract, Engine]]

ANSWERS: Mapping[str, tuple[Any, Mapping[str, str]]] = {
    "createBerth/name-alone": ({"id": "ber_7", "version": 3, "tags": ["a", "b"], "a/b": True}, {"ETag": '"3"'})
}


@pytest.fixture
def compose(project: Project) -> Callable[..., Any]:
    """Return a function that composes an exchange with parts of its request replaced."""
    contract, _ = project()

    def run(name: str, principal: str = "maya", **parts: Any) -> Any:
        exchange: Exchange = contract.exchanges[name]
        if "body" in parts or "raw" in parts:
            parts["has_body"] = True
        changed = replace(exchange, principal=principal, request=replace(exchange.request, **parts))
        composer = Composer(lambda who: f"token-of-{who}", lambda which: ANSWERS[which])
        return composer.compose(changed, contract.operations[exchange.operation])

    return run


def test_path_is_filled_and_encoded(compose: Callable[..., Any]) -> None:
    assert compose("getBerth/one", path={"berth_id": "a/b c"}, query={}).url == "/v1/berths/a%2Fb%20c"


@pytest.mark.parametrize(
    ("path", "said"), [({}, "no value for the path parameter berth_id"), ({"berth_id": "x", "id": "y"}, "has none")]
)
def test_wrong_path_parameters_name_their_line(compose: Callable[..., Any], path: dict[str, str], said: str) -> None:
    with pytest.raises(ExchangeError, match=rf"examples/berths\.yaml:\d+: .*{said}"):
        compose("getBerth/one", path=path)


def test_lists_are_repeated_and_booleans_are_json(compose: Callable[..., Any]) -> None:
    sent = compose("listBerths/first-page", query={"status": ["free", "reserved"], "is_covered": True, "q": "a&b"})

    assert sent.url == "/v1/berths?status=free&status=reserved&is_covered=true&q=a%26b"


def test_token_is_sent_and_not_shown(compose: Callable[..., Any]) -> None:
    sent = compose("getBerth/one")

    assert sent.headers["Authorization"] == "Bearer token-of-maya"
    assert sent.shown_headers()["Authorization"] == "Bearer $CRM_TOKEN"


@pytest.mark.parametrize(("name", "principal"), [("getBerth/one", "none"), ("getBerthsLiveness/alive", "maya")])
def test_no_token_for_nobody_or_to_a_public_operation(compose: Callable[..., Any], name: str, principal: str) -> None:
    assert "Authorization" not in compose(name, principal).headers


def test_authors_authorization_is_sent_and_shown(compose: Callable[..., Any]) -> None:
    sent = compose("getBerth/one", headers={"Authorization": "Basic x"})

    assert sent.shown_headers() == {"Authorization": "Basic x"}


def test_patch_is_a_merge_patch(compose: Callable[..., Any]) -> None:
    sent = compose("updateBerth/clear-fields")

    assert sent.headers["Content-Type"] == "application/merge-patch+json"
    assert sent.content == b'{"length_metres":null,"contact_email":null,"neighbour_id":null,"tags":null}'


def test_raw_body_is_sent_as_written(compose: Callable[..., Any]) -> None:
    sent = compose("createBerth/name-alone", raw='{"name": ')

    assert (sent.content, sent.body) == (b'{"name": ', '{"name": ')


def test_form_is_encoded(compose: Callable[..., Any]) -> None:
    sent = compose("createBerth/name-alone", body={"a": "b c", "n": 1}, content_type="application/x-www-form-urlencoded")

    assert sent.content == b"a=b%20c&n=1"


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("${createBerth/name-alone#/version}", 3),
        ("${createBerth/name-alone#/tags}", ["a", "b"]),
        ("${createBerth/name-alone#/tags/1}", "b"),
        ("${createBerth/name-alone#/a~1b}", True),
        ("${createBerth/name-alone@etag}", '"3"'),
        ("v${createBerth/name-alone#/version} of ${createBerth/name-alone#/id}", "v3 of ber_7"),
        ("$5 {not a reference}", "$5 {not a reference}"),
    ],
)
def test_references(compose: Callable[..., Any], written: str, value: Any) -> None:
    assert compose("createBerth/name-alone", body={"x": [written]}).body == {"x": [value]}


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("${createBerth/other#/id}", "didn't run before it"),
        ("${createBerth/name-alone#/nothing}", "no such member"),
        ("${createBerth/name-alone@Nothing}", "no such header"),
    ],
)
def test_references_that_find_nothing(compose: Callable[..., Any], written: str, said: str) -> None:
    with pytest.raises(ExchangeError, match=said):
        compose("getBerth/one", headers={"If-None-Match": written})


@pytest.mark.parametrize(
    ("content", "media", "shown"),
    [
        (b"", "application/json", None),
        (b'{"a": 1}', "application/problem+json; charset=utf-8", {"a": 1}),
        (b'{"a": ', "application/json", '{"a": '),
        (b'"text"', "application/json", '"text"'),
        (b"a 1\n", "text/plain", "a 1\n"),
        (b"\xff\xfe", "image/png", "data:image/png;base64,//4="),
    ],
)
def test_bodies_are_recorded_so_that_they_can_be_sent_again(content: bytes, media: str, shown: Any) -> None:
    assert parsed(content, media) == shown
    assert parsed(content_of(shown, media), media) == shown
