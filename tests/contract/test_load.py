"""The loader: from harbour's documents to the model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from crm_reference.contract import Contract, ContractError, load
from crm_reference.contract.lint import lint


@pytest.fixture
def loaded(harbour: Path) -> Contract:
    return load(harbour)


class TestOperations:
    @pytest.mark.parametrize(
        ("operation", "behaviour"),
        [
            ("createBerth", "create"),
            ("listBerths", "list"),
            ("getBerth", "read"),
            ("updateBerth", "update"),
            ("deleteBerth", "delete"),
            ("restoreBerth", "restore"),
            ("searchBerths", "search"),
            ("countBerths", "count"),
            ("reserveBerth", ""),
            ("getBerthsLiveness", "liveness"),
            ("getBerthsReadiness", "readiness"),
            ("getBerthsHealth", "health"),
            ("getBerthsMetrics", "metrics"),
        ],
    )
    def test_behave_by_the_shape_of_their_path(self, loaded: Contract, operation: str, behaviour: str) -> None:
        assert behaviour == loaded.operations[operation].behaviour

    def test_imply_the_errors_of_the_rules(self, loaded: Contract) -> None:
        assert loaded.operations["createBerth"].errors == ("berth_name_taken", "invalid_reference", "berth_status_jump")
        assert loaded.operations["restoreBerth"].errors == ("berth_name_taken",)
        assert loaded.operations["reserveBerth"].errors == ("berth_not_free",)

    def test_know_scopes_and_why_they_are_open(self, loaded: Contract) -> None:
        assert loaded.operations["createBerth"].scopes == ("berths.write",)
        assert loaded.operations["getBerthsLiveness"].scopes == ()
        assert loaded.operations["getBerthsLiveness"].public.startswith("A probe")

    def test_have_resolved_parameters(self, loaded: Contract) -> None:
        parameter = loaded.operations["listBerths"].parameter("limit", "query")

        assert parameter is not None
        assert parameter.default == 25
        assert loaded.operations["listBerths"].parameter("limit", "header") is None

    def test_know_which_answers_are_shared(self, loaded: Contract) -> None:
        responses = loaded.operations["getBerth"].responses

        assert (responses["200"].common, responses["404"].common) == ("", "NotFound")
        assert [r.status for r in loaded.operations["getBerth"].successes] == ["200", "304"]

    def test_know_their_line(self, loaded: Contract, harbour: Path) -> None:
        place = loaded.operations["createBerth"].place
        lines = (harbour / place.document.name).read_text(encoding="utf-8").splitlines()

        assert lines[place.line - 1] == "    post:"


class TestParts:
    def test_resource(self, loaded: Contract) -> None:
        berths = loaded.resources["berths"]

        assert (berths.prefix, berths.object, berths.delete, berths.restore_days) == ("ber", "berth", "soft", 30)
        assert [r.kind for r in berths.rules] == ["unique", "reference", "reference", "transition"]
        assert berths.query["length_metres"].parameters == {"length_metres_gte": "gte"}

    def test_events(self, loaded: Contract) -> None:
        event = loaded.events["crm.berth.created.v1"]

        assert (event.service, event.channel, event.title) == ("berths", "berths", "Berth created")

    def test_heard_events_are_not_the_hearers(self, harbour: Path, edit: Callable[[str, str, str], int]) -> None:
        edit("source_specs/berths/asyncapi.yaml", "    action: send\n", "    action: receive\n")

        assert load(harbour).events == {}

    def test_errors_are_the_standard_ones_and_the_services(self, loaded: Contract) -> None:
        assert (loaded.errors["not_found"].service, loaded.errors["not_found"].status) == ("", 404)
        assert (loaded.errors["berth_not_free"].service, loaded.errors["berth_not_free"].status) == ("berths", 409)
        assert loaded.errors["out_of_range"].field

    def test_requirements(self, loaded: Contract) -> None:
        facet = loaded.requirements["REQ-1.1-crud"]

        assert (facet.kind, facet.parent, facet.service, facet.anchor) == ("facet", "REQ-1.1", "berths", "req-1-1-crud")
        assert [f.id for f in loaded.facets("REQ-8.5")] == ["REQ-8.5-health", "REQ-8.5-monitoring"]
        assert len(loaded.facets()) == 6
        assert loaded.requirements["REQ-8.5-health"].also

    def test_exchanges(self, loaded: Contract) -> None:
        exchange = loaded.exchanges["createBerth/every-field"]

        assert (exchange.principal, exchange.status, exchange.succeeds) == ("maya", 201, True)
        assert exchange.recorded is not None
        assert exchange.recorded.status == 201
        assert loaded.exchanges["reserveBerth/free-one"].scripted is not None

    def test_world(self, loaded: Contract) -> None:
        assert {"maya", "tomas", "ines", "jun", "hub", "otto"} == set(loaded.principals)
        assert len(loaded.world["berths"]) == 4
        assert loaded.principals["hub"].user == ""

    def test_policies_and_scopes(self, loaded: Contract) -> None:
        assert loaded.policies["write"].requests == 300
        assert "sales_manager" in loaded.scopes["berths.delete"].roles

    def test_charter_and_vectors(self, loaded: Contract) -> None:
        assert [c.id for c in loaded.capabilities] == ["keep-berths", "undo-delete", "find-berths", "hold-berth"]
        assert [v.computation for v in loaded.services["berths"].vectors] == ["name_key"]

    def test_nothing_can_be_changed(self, loaded: Contract) -> None:
        with pytest.raises(FrozenInstanceError):
            loaded.operations["getBerth"].id = "other"


class TestFailures:
    def test_folder_without_specs(self, tmp_path: Path) -> None:
        with pytest.raises(ContractError, match="no such folder"):
            load(tmp_path)

    def test_service_without_a_document(self, harbour: Path) -> None:
        (harbour / "source_specs/berths/asyncapi.yaml").unlink()

        with pytest.raises(ContractError, match=r"source_specs/berths/asyncapi\.yaml:1: the service berths lacks asyncapi\.yaml"):
            load(harbour)

    def test_dangling_parameter(self, harbour: Path, edit: Callable[[str, str, str], int]) -> None:
        line = edit("source_specs/berths/openapi.yaml", "'../common/parameters.yaml#/Sort'", "'../common/parameters.yaml#/Order'")

        with pytest.raises(ContractError, match=rf"openapi\.yaml:{line}: .*has no 'Order'"):
            load(harbour)

    def test_broken_yaml(self, harbour: Path, edit: Callable[[str, str, str], int]) -> None:
        edit("source_specs/berths/service.yaml", "segments: [berths]", "segments: [berths")

        with pytest.raises(ContractError, match=r"source_specs/berths/service\.yaml:\d+: is not YAML"):
            load(harbour)

    def test_operation_that_is_no_mapping(self, harbour: Path) -> None:
        path = harbour / "source_specs/berths/openapi.yaml"
        path.write_text("openapi: 3.1.0\npaths:\n  /berths:\n    get: nothing\n", encoding="utf-8")

        with pytest.raises(ContractError, match=r"openapi\.yaml:4: GET /berths is not a mapping"):
            load(harbour)

    def test_empty_document_loads_and_lint_speaks(self, harbour: Path) -> None:
        (harbour / "source_specs/berths/openapi.yaml").write_text("openapi: 3.1.0\n", encoding="utf-8")
        (harbour / "source_specs/berths/asyncapi.yaml").write_text("asyncapi: 3.0.0\n", encoding="utf-8")
        (harbour / "source_specs/berths/service.yaml").write_text("slug: berths\n", encoding="utf-8")
        (harbour / "examples/berths.yaml").unlink()

        loaded = load(harbour)

        assert loaded.services["berths"].operations == ()
        assert {"openapi.head", "openapi.schema", "asyncapi.schema", "manifest.schema"} <= {f.rule for f in lint(loaded)}


def test_cache_is_optional(harbour: Path) -> None:
    cached = {p.name for p in (harbour / ".cache/contract").iterdir()}

    load(harbour, cache=False)

    assert cached == {p.name for p in (harbour / ".cache/contract").iterdir()}


def test_real_contract_loads(contract: Contract) -> None:
    assert "contacts" in contract.services
