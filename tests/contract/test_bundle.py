"""The bundle: valid, self-contained, with examples that hold, written only where it differs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from crm_reference.contract import load
from crm_reference.contract.bundle import bundle_files, write_bundle
from crm_reference.contract.lint.documents import oas_validator

METHODS = {"get", "put", "post", "patch", "delete"}


@pytest.fixture(scope="module")
def files(harbour_original: Path) -> dict[str, bytes]:
    return bundle_files(load(harbour_original))


@pytest.fixture(scope="module")
def openapi(files: dict[str, bytes]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(files["berths/openapi.json"])
    return document


@pytest.fixture(scope="module")
def asyncapi(files: dict[str, bytes]) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(files["berths/asyncapi.yaml"])
    return document


def operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for item in document["paths"].values():
        yield from (operation for method, operation in item.items() if method in METHODS)


def operation(document: dict[str, Any], id: str) -> dict[str, Any]:
    return next(o for o in operations(document) if o["operationId"] == id)


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, member in value.items():
            if key == "$ref" and isinstance(member, str):
                yield member
            elif key == "mapping":
                yield from member.values()
            else:
                yield from references(member)
    elif isinstance(value, list):
        for entry in value:
            yield from references(entry)


def lookup(document: dict[str, Any], reference: str) -> Any:
    value: Any = document
    for part in reference.removeprefix("#/").split("/"):
        value = value[part.replace("~1", "/").replace("~0", "~")]
    return value


def media(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each media type object with an example, with the name of its operation."""
    for found in operations(document):
        for part in [found.get("requestBody", {}), *found["responses"].values()]:
            for content in part.get("content", {}).values():
                yield found["operationId"], content


class TestFiles:
    def test_are_those_of_each_service(self, files: dict[str, bytes]) -> None:
        assert {
            *("berths/openapi.yaml", "berths/openapi.json", "berths/asyncapi.yaml", "berths/postman.json"),
            *("berths/vectors/name-key.yaml", "crm-openapi.json"),
        } == set(files)

    def test_yaml_and_json_say_the_same(self, files: dict[str, bytes], openapi: dict[str, Any]) -> None:
        assert openapi == yaml.safe_load(files["berths/openapi.yaml"])

    def test_come_out_the_same_again(self, files: dict[str, bytes], harbour: Path) -> None:
        assert files == bundle_files(load(harbour))

    def test_are_written_only_where_they_differ(self, harbour: Path, edit: Callable[[str, str, str], int]) -> None:
        target = harbour / "_build/bundle"
        assert len(write_bundle(load(harbour), target)) == 6
        assert write_bundle(load(harbour), target) == []

        edit("examples/vectors/berths/name-key.yaml", "Digits and spaces stay.", "Digits stay.")

        assert [target / "berths/vectors/name-key.yaml"] == write_bundle(load(harbour), target)
        assert [p for p in target.rglob("*") if p.name.startswith(".")] == []

    def test_leave_nothing_half_written(self, harbour: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        target = harbour / "_build/bundle"

        def refuse(self: Path, other: Path) -> Path:
            raise OSError("the disk is full")

        monkeypatch.setattr(Path, "replace", refuse)
        with pytest.raises(OSError, match="full"):
            write_bundle(load(harbour), target)

        assert [p for p in target.rglob("*") if p.is_file()] == []


class TestOpenapi:
    @pytest.mark.parametrize("name", ["berths/openapi.json", "crm-openapi.json"])
    def test_is_valid(self, files: dict[str, bytes], name: str) -> None:
        assert [e.message for e in oas_validator().iter_errors(json.loads(files[name]))] == []

    @pytest.mark.parametrize("name", ["berths/openapi.json", "crm-openapi.json"])
    def test_is_self_contained(self, files: dict[str, bytes], name: str) -> None:
        document = json.loads(files[name])

        for reference in references(document):
            assert reference.startswith("#/components/")
            assert lookup(document, reference) is not None

    def test_has_no_unused_component(self, openapi: dict[str, Any]) -> None:
        used = set(references(openapi))
        there = {f"#/components/{s}/{n}" for s, parts in openapi["components"].items() if s != "securitySchemes" for n in parts}

        assert set() == there - used

    def test_examples_are_valid(self, openapi: dict[str, Any]) -> None:
        registry = jsonschema_rs.Registry([("https://bundle.test/", openapi)], draft=jsonschema_rs.Draft202012)
        count = 0
        for name, content in media(openapi):
            reference = content["schema"].get("$ref")
            schema = {"$ref": f"https://bundle.test/{reference}"} if reference else content["schema"]
            validator = jsonschema_rs.Draft202012Validator(schema, registry=registry, validate_formats=True)
            for example in content.get("examples", {}).values():
                count += 1
                assert [f"{name}: {e.message}" for e in validator.iter_errors(example["value"])] == []

        assert count > 100

    def test_examples_are_no_copies(self, openapi: dict[str, Any]) -> None:
        for name, content in media(openapi):
            values = [json.dumps(e["value"], sort_keys=True) for e in content.get("examples", {}).values()]
            assert len(values) == len(set(values)), name

    def test_each_operation_shows_its_errors(self, openapi: dict[str, Any]) -> None:
        counts = []
        for found in operations(openapi):
            errors = [r for s, r in found["responses"].items() if s >= "400" and "NotReady" not in str(r)]
            counts.append(sum(len(c.get("examples", {})) for r in errors for c in r["content"].values()))
            problems = [c for r in errors for m, c in r["content"].items() if "problem" in m]
            assert all(c.get("examples") for c in problems), found["operationId"]

        assert sum(counts) / len(counts) >= 3.3

    def test_problems_are_of_the_operation(self, openapi: dict[str, Any]) -> None:
        found = operation(openapi, "getBerth")["responses"]["403"]["content"]["application/problem+json"]["examples"]
        value = found["insufficient_scope"]["value"]

        assert value["required_scopes"] == ["berths.read"]
        assert value["instance"] == "/v1/berths/ber_01KDVDNA000000000000000001"
        assert value["title"] == "The token lacks a scope"

    def test_recorded_answers_are_examples(self, openapi: dict[str, Any]) -> None:
        created = operation(openapi, "createBerth")
        answers = created["responses"]["201"]["content"]["application/json"]["examples"]
        sent = created["requestBody"]["content"]["application/json"]["examples"]
        refused = created["responses"]["409"]["content"]["application/problem+json"]["examples"]

        assert answers["every-field"]["value"]["name"] == "South Pier"
        assert sent["every-field"]["summary"] == "Create a berth with every field"
        assert "name-taken" not in sent
        assert refused["name-taken"]["value"]["code"] == "berth_name_taken"
        assert "berth_name_taken" not in refused

    def test_every_answer_has_the_standard_headers(self, openapi: dict[str, Any]) -> None:
        for found in operations(openapi):
            for status, response in found["responses"].items():
                assert {"X-Request-Id", "RateLimit-Policy", "RateLimit"} <= set(response["headers"]), (found["operationId"], status)

    def test_scopes_stand_in_the_security_scheme(self, openapi: dict[str, Any]) -> None:
        flows = openapi["components"]["securitySchemes"]["oauth2"]["flows"]

        for flow in flows.values():
            assert {"berths.read", "berths.write", "berths.delete", "berths.health"} == set(flow["scopes"])

    def test_discriminators_lead_to_components(self, openapi: dict[str, Any]) -> None:
        assert openapi["components"]["schemas"]["Filter"]["discriminator"]["mapping"]["in"] == "#/components/schemas/SetFilter"

    def test_enumerations_are_described_for_generators(self, openapi: dict[str, Any]) -> None:
        status = openapi["components"]["schemas"]["BerthStatus"]

        assert status["x-enum-descriptions"][::2] == ["Nobody holds it.", "A ship lies there."]
        assert status["x-enumDescriptions"]["free"] == "Nobody holds it."


class TestPlatform:
    def test_tags_begin_with_the_service(self, files: dict[str, bytes]) -> None:
        document = json.loads(files["crm-openapi.json"])

        assert [t["name"] for t in document["tags"]] == ["berths-berths", "berths-reservations", "berths-operate"]
        assert operation(document, "reserveBerth")["tags"] == ["berths-reservations"]
        assert document["x-tagGroups"][0]["name"] == "Berths"


class TestAsyncapi:
    def test_is_self_contained(self, asyncapi: dict[str, Any]) -> None:
        for reference in references(asyncapi):
            assert reference.startswith("#/")
            assert lookup(asyncapi, reference) is not None

    def test_events_that_were_emitted_are_examples(self, asyncapi: dict[str, Any]) -> None:
        for message in asyncapi["components"]["messages"].values():
            assert message["examples"][0]["payload"]["type"] == message["name"]

    def test_nothing_stands_beside_a_reference(self, asyncapi: dict[str, Any]) -> None:
        def check(value: Any) -> None:
            if isinstance(value, dict):
                assert "$ref" not in value or len(value) == 1
                for member in value.values():
                    check(member)
            elif isinstance(value, list):
                for entry in value:
                    check(entry)

        check(asyncapi["components"]["schemas"])

    def test_discriminators_are_names(self, asyncapi: dict[str, Any]) -> None:
        assert "mapping" not in str(asyncapi["components"]["schemas"])


class TestPostman:
    def test_has_a_folder_a_tag_and_a_request_an_operation(self, files: dict[str, bytes], openapi: dict[str, Any]) -> None:
        collection = json.loads(files["berths/postman.json"])

        assert [f["name"] for f in collection["item"]] == ["Berths", "Reservations", "Operate"]
        assert len(list(operations(openapi))) == sum(len(f["item"]) for f in collection["item"])

    def test_keeps_exchanges_as_answers_and_no_token(self, files: dict[str, bytes]) -> None:
        collection = json.loads(files["berths/postman.json"])
        create = next(i for f in collection["item"] for i in f["item"] if i["name"] == "Create a berth")

        assert {201, 409, 422} == {r["code"] for r in create["response"]}
        assert create["request"]["method"] == "POST"
        assert create["request"]["url"]["raw"] == "{{baseUrl}}/v1/berths"
        assert b"Bearer ey" not in files["berths/postman.json"]
