"""A directory's view of users: scim2-tester, a checker of SCIM servers that is not ours, runs against the emulator over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

import pytest
import requests
from scim2_client.client import BaseSyncSCIMClient
from scim2_tester import Status, check_server

from crm_reference.contract import Contract
from crm_reference.emulator import Engine
from crm_reference.emulator.server import served


class _Client(BaseSyncSCIMClient):
    """A SCIM client over requests, which the project has, in place of the library's own HTTP library."""

    def __init__(self, base: str, token: str) -> None:
        super().__init__()
        self._base = base
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {token}"

    def _stays_under_base_url(self, endpoint: str) -> bool:
        return self._url(endpoint).startswith(self._base)

    def _parse_json(self, response: Any) -> Any:
        return response.json()

    def _url(self, endpoint: str) -> str:
        return urljoin(self._base, endpoint.lstrip("/")) if "://" not in endpoint else endpoint

    def request(self, method: str, url: str, **options: Any) -> Any:
        return self._session.request(method, self._url(url), timeout=30, **options)


@pytest.fixture(scope="module")
def engine(contract: Contract) -> Iterator[Engine]:
    found = Engine(contract, limits=False)
    yield found
    found.close()


@pytest.fixture(scope="module")
def base(engine: Engine) -> Iterator[str]:
    """Return the URL of the SCIM root of a server on loopback."""
    with served(engine) as address:
        engine.world.site = address
        yield f"{address}/v1/scim/v2/"


@pytest.fixture
def directory(engine: Engine, base: str) -> Iterator[requests.Session]:
    """Return a session of the directory's client, in a fresh world."""
    engine.reset()
    with requests.Session() as found:
        found.headers["Authorization"] = f"Bearer {engine.token('hub')}"
        yield found


def test_the_tester_finds_nothing(engine: Engine, base: str) -> None:
    engine.reset()

    results = check_server(_Client(base, engine.token("hub")))

    failed = [r for r in results if r.status not in (Status.SUCCESS, Status.SKIPPED)]
    assert failed == [], "\n".join(f"{r.title} {r.resource_type}: {r.reason}" for r in failed)
    assert len([r for r in results if r.status == Status.SUCCESS]) > 60


def _patch(session: requests.Session, url: str, *operations: dict[str, Any]) -> requests.Response:
    body = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": list(operations)}
    return session.patch(url, json=body, headers={"Content-Type": "application/scim+json"}, timeout=30)


LENA = "Users/usr_01KDVDNA000000000000000006"
BERGEN = "Groups/grp_01KDVDNA000000000000000004"


class TestDialects:
    """What large directories send beside the letter of the RFC."""

    def test_capital_operation_and_truth_value_as_text(self, directory: requests.Session, base: str) -> None:
        answer = _patch(directory, base + LENA, {"op": "Replace", "path": "active", "value": "False"})

        assert (answer.status_code, answer.json()["active"]) == (200, False)

    def test_removal_of_members_by_value(self, directory: requests.Session, base: str) -> None:
        joined = {"op": "add", "path": "members", "value": [{"value": "usr_01KDVDNA000000000000000001"}]}
        left = {"op": "Remove", "path": "members", "value": [{"value": "usr_01KDVDNA000000000000000006"}]}

        answer = _patch(directory, base + BERGEN, joined, left)

        assert [m["value"] for m in answer.json()["members"]] == ["usr_01KDVDNA000000000000000001"]

    def test_extension_as_a_member_of_the_value(self, directory: requests.Session, base: str) -> None:
        urn = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"

        answer = _patch(directory, base + LENA, {"op": "replace", "value": {urn: {"department": "Bergen"}}})

        assert answer.json()[urn]["department"] == "Bergen"

    def test_all_operations_or_none(self, directory: requests.Session, base: str) -> None:
        before = directory.get(base + LENA, timeout=30).json()

        answer = _patch(
            directory, base + LENA, {"op": "replace", "path": "title", "value": "Pilot"}, {"op": "remove", "path": "userName"}
        )

        assert answer.status_code == 400
        assert directory.get(base + LENA, timeout=30).json() == before


class TestTwoWriters:
    """A directory and people of the tenant write the same user."""

    def test_change_by_hand_shows_and_the_rest_stays_as_it_was_sent(
        self, engine: Engine, directory: requests.Session, base: str
    ) -> None:
        _patch(
            directory, base + LENA, {"op": "add", "path": "phoneNumbers", "value": [{"value": "+47 55 12 34 56", "type": "desk"}]}
        )
        with requests.Session() as ines:
            ines.headers["Authorization"] = f"Bearer {engine.token('ines')}"
            ines.headers["Content-Type"] = "application/merge-patch+json"
            users = base.replace("scim/v2/", "users/") + LENA.removeprefix("Users/")
            changed = ines.patch(users, data='{"job_title": "Pilot"}', timeout=30)

        shown = directory.get(base + LENA, timeout=30).json()

        assert "_scim" not in changed.json()
        assert (shown["title"], shown["phoneNumbers"]) == ("Pilot", [{"value": "+47 55 12 34 56", "type": "desk"}])

    def test_number_in_other_form_is_shown_to_colleagues(self, engine: Engine, directory: requests.Session, base: str) -> None:
        _patch(directory, base + LENA, {"op": "add", "path": "phoneNumbers", "value": [{"value": "tel:+47-55-12-34-56"}]})

        user = engine.world.store.get("ten_01KDVDNA000000000000000001", "users", LENA.removeprefix("Users/"))

        assert user is not None
        assert user.doc["phone"] == "+4755123456"


class TestErrors:
    """Errors are SCIM's, whoever finds them."""

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [("GET", "Nothing", 404), ("DELETE", "Schemas", 405), ("GET", "Users/usr_1", 404), ("GET", "Users?filter=a", 400)],
    )
    def test_form(self, directory: requests.Session, base: str, method: str, path: str, status: int) -> None:
        answer = directory.request(method, base + path, timeout=30)

        assert answer.status_code == status
        assert answer.headers["Content-Type"] == "application/scim+json"
        assert answer.json()["status"] == str(status)
        assert answer.headers["Link"].endswith('rel="help"')

    def test_filter_too_deep(self, directory: requests.Session, base: str) -> None:
        text = "(" * 40 + "active eq true" + ")" * 40

        answer = directory.get(base + "Users", params={"filter": text}, timeout=30)

        assert (answer.status_code, answer.json()["scimType"]) == (400, "invalidFilter")

    def test_too_many_operations(self, directory: requests.Session, base: str) -> None:
        operation = {"method": "DELETE", "path": "/Users/usr_01KDVDNA0000000000000000ZZ"}
        body = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": [operation] * 101}

        answer = directory.post(base + "Bulk", json=body, timeout=30)

        assert answer.status_code == 413
