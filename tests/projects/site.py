"""Harbour with pages for every directive, for the tests of pages and of the built site."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from crm_reference.contract import Contract, Exchange, load

ROOT = Path(__file__).resolve().parents[2]
_FENCE = "```"


def _directive(name: str, argument: str = "", *options: str) -> str:
    return "\n".join([f"{_FENCE}{{{name}}} {argument}".rstrip(), *options, _FENCE, ""])


def _page(title: str, *blocks: str) -> str:
    return "\n".join([f"# {title}", "", f"{title} of a small project.", "", *blocks])


_SPEC = "../../../source_specs/berths/openapi.yaml"

PAGES = {
    "index": _page(
        "Harbour",
        _directive(
            "toctree", "", "services/berths/index", "errors", "catalogues/operations", "catalogues/events",
            "catalogues/scopes", "catalogues/services", "catalogues/policies", "catalogues/schemas",
        ),
    ),
    "services/berths/index": _page(
        "Berths service",
        *(
            _directive(f"crm:{name}", "berths")
            for name in ("boundary", "diagram", "resources", "operations", "charter", "downloads")
        ),
        _directive("toctree", "", "berths", "reservations", "operate", "schemas", "events", "rules", "errors", "build", "run"),
    ),
    "services/berths/berths": _page(
        "Berths",
        "See {crm:operation}`createBerth`, {http:get}`/berths`, {crm:error}`berth_name_taken` and {any}`BerthPage`; also",
        "[this section](#createBerth), [reserving](reservations.md#reserveBerth) and [the event](events.md#crm.berth.created.v1).",
        "",
        _directive("openapi", _SPEC, ":tag: berths"),
    ),
    "services/berths/reservations": _page("Reservations", _directive("openapi", _SPEC, ":operations: reserveBerth")),
    "services/berths/operate": _page("Operate", _directive("openapi", _SPEC, ":tag: operate")),
    "services/berths/schemas": _page("Schemas", _directive("crm:schemas", "berths")),
    "services/berths/events": _page("Events", _directive("asyncapi", "../../../source_specs/berths/asyncapi.yaml")),
    "services/berths/rules": _page("Rules", _directive("crm:rules", "berths")),
    "services/berths/errors": _page("Errors of berths", _directive("crm:errors", "berths")),
    "services/berths/build": _page(
        "Build",
        *(_directive(f"crm:{name}", "berths") for name in ("stores", "roles", "seeds", "sagas", "vectors")),
        _directive("crm:fields", "Berth"),
    ),
    "services/berths/run": _page(
        "Run",
        *(
            _directive(f"crm:{name}", "berths")
            for name in ("configuration", "deployment", "dependencies", "service-levels", "metrics", "runbook")
        ),
    ),
    "errors": _page("Errors", _directive("crm:all-errors")),
    **{
        f"catalogues/{name}": _page(f"All {name}", _directive(f"crm:all-{name}"))
        for name in ("operations", "events", "scopes", "services", "policies")
    },
    "catalogues/schemas": _page("Shared schemas", _directive("crm:schemas", "common"), _directive("crm:downloads")),
}  # fmt: skip


def write_pages(root: Path, pages: dict[str, str] | None = None) -> None:
    """Write the pages and a configuration; recorded answers are made up from what the authors expect."""
    docs = root / "docs"
    shutil.rmtree(docs)
    for name, text in (PAGES if pages is None else pages).items():
        path = docs / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    shutil.copytree(ROOT / "docs" / "_static", docs / "_static")
    (docs / "_templates").mkdir()
    shutil.copy(ROOT / "conf.py", root / "conf.py")
    write_recorded(root)


def write_recorded(root: Path) -> None:
    """Write an answer for each exchange that has the status and the values that its author expects."""
    contract = load(root)
    for service in contract.services.values():
        answers = {e.id: _answer(contract, e) for e in service.exchanges.values()}
        path = root / "examples" / "recorded" / f"{service.slug}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(answers, indent=1), encoding="utf-8")


def _answer(contract: Contract, exchange: Exchange) -> dict[str, Any]:
    operation = contract.operations[exchange.operation]
    values = exchange.request.path
    url = "/v1" + re.sub(r"{(\w+)}", lambda m: str(values.get(m[1], "ber_1")), operation.path)
    if exchange.request.query:
        url += "?" + urlencode(exchange.request.query)
    headers = {"Authorization": "Bearer $CRM_TOKEN", **exchange.request.headers}
    if exchange.request.has_body:
        headers["Content-Type"] = next(iter(operation.body.media)) if operation.body else "application/json"
    body: dict[str, Any] | None = {"id": "ber_01KDVDNA000000000000000101", "object": "berth"} if exchange.status < 400 else {}
    for pointer, value in exchange.expect.items():
        if pointer.startswith("#/") and pointer.count("/") == 1:
            body = {**(body or {}), pointer[2:]: value}
    if exchange.status == 204:
        body = None
    found: dict[str, Any] = {
        "request": {"method": operation.method, "url": url, "headers": headers, "body": exchange.request.body},
        "response": {"status": exchange.status, "headers": {"Content-Type": "application/json"}, "body": body},
    }
    if exchange.status < 400 and operation.events:
        found["events"] = [{"type": t, "id": "evt_1", "data": {"record": body}} for t in operation.events]
    return found


def build(root: Path, *options: str, builder: str = "html", strict: bool = True) -> str:
    """Build the pages and return what Sphinx said; the trace's gate has tests of its own.

    :param strict: Whether a warning fails the test.
    """
    command = [sys.executable, "-m", "sphinx", "-b", builder, "-n", "--keep-going", "-D", "suppress_warnings=trace", "-d"]
    command += [str(root / "_build/doctrees"), "-c", str(root), *(("-W",) if strict else ()), *options]
    command += [str(root / "docs"), str(root / "_build" / builder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin", "HOME": str(root)})
    assert done.returncode == 0 or not strict, done.stdout + done.stderr
    return done.stdout + done.stderr
