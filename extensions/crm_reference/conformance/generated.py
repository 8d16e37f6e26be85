"""Generated requests to a live implementation: schemathesis makes them from the published documents and judges each answer.

What it checks are the laws that need nothing but HTTP: no answer is a 5xx, each status, media type, header and body is documented,
invalid bodies and missing parameters are refused, credentials are demanded, what is deleted is gone, what was created is there.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import orjson
import requests

from crm_reference.contract import Contract, Finding, Operation
from crm_reference.contract.bundle import write_bundle
from crm_reference.contract.examples import DEFAULT_PRINCIPAL
from crm_reference.exchanges.record import select

#: What is not checked: a valid body may break a business rule, which no schema says.
_LEFT_OUT = "positive_data_acceptance"
_PHASES = "examples,coverage,fuzzing"
#: Follows links from operation to operation, which needs all of them.
_WHOLE = _PHASES + ",stateful"
#: Exit codes of a run that came to its end: nothing found, something found.
_FINISHED = (0, 1)


class GeneratorError(Exception):
    """Schemathesis can't run; the message says why and what to do."""


def run_generated(contract: Contract, /, *, base: str, token: str, examples: int, only: Collection[str] = ()) -> Iterator[Finding]:
    """Send generated requests to an implementation and yield what is wrong with its answers, an operation and kind a finding.

    The same requests are made each time.

    :param base: Base URL without ``/v1``.
    :param token: Access token that every request carries.
    :param examples: How many requests are generated for an operation and phase.
    :param only: Services, operations or exchanges whose operations are called; all of them where empty.
    :raises GeneratorError: If schemathesis isn't installed, or its run fails.
    """
    if importlib.util.find_spec("schemathesis") is None:
        raise GeneratorError("schemathesis isn't installed; pip install 'crm-reference[dev]'")
    wanted: dict[str, list[str]] = {}
    for exchange in select(contract, only).values():
        names = wanted.setdefault(exchange.service, [])
        if exchange.operation not in names:
            names.append(exchange.operation)
    with tempfile.TemporaryDirectory() as folder:
        write_bundle(contract, Path(folder))
        for slug, operations in wanted.items():
            report = _report(Path(folder) / slug, base, token, examples, operations if only else ())
            yield from _findings(contract, slug, report)


def _report(folder: Path, base: str, token: str, examples: int, operations: Collection[str]) -> dict[str, Any]:
    """Run schemathesis on a service's document and return its report.

    :param operations: The only ones to call; all of them where empty.
    """
    written = folder / "schemathesis.json"
    command = [sys.executable, "-m", "schemathesis.cli", "run", str(folder / "openapi.json"), "--url", f"{base.rstrip('/')}/v1"]
    phases = _PHASES if operations else _WHOLE
    command += ["--checks", "all", "--exclude-checks", _LEFT_OUT, "--phases", phases, "--max-examples", str(examples)]
    command += ["--generation-deterministic", "--continue-on-failure", "--no-shrink", "--no-color", "--warnings", "off"]
    command += ["--header", f"Authorization: Bearer {token}", "--report", "json", "--report-json-path", str(written)]
    for name in operations:
        command += ["--include-operation-id", name]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode not in _FINISHED or not written.is_file():
        said = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
        raise GeneratorError(f"schemathesis ended with {done.returncode}: {said[-1]}")
    report: dict[str, Any] = orjson.loads(written.read_bytes())
    return report


def _findings(contract: Contract, slug: str, report: dict[str, Any]) -> Iterator[Finding]:
    by_label = {f"{o.method} {o.path}": o for o in contract.services[slug].operations}
    for failure in report["failures"]:
        for label in failure["operations"]:
            operation: Operation | None = by_label.get(label)
            place = operation.place if operation is not None else contract.services[slug].openapi.root.place
            yield Finding(place, "conform.generated", f"{operation.id if operation else label}: {failure['title']}")
    for error in report["errors"]:
        yield Finding(contract.services[slug].openapi.root.place, "conform.generated", f"{slug}: {str(error)[:300]}")


def token_of(base: str, token: str, /) -> str:
    """Return the token to call with: the given one, or else the default caller's from the control API.

    :raises GeneratorError: If there is neither.
    """
    if token:
        return token
    try:
        answer = requests.get(f"{base}/_emulator/token", params={"principal": DEFAULT_PRINCIPAL}, timeout=30)
    except requests.ConnectionError as error:
        raise ConnectionError(f"nothing answers at {base}; start the service, or correct --base") from error
    if answer.status_code != 200:
        raise GeneratorError("generated requests need a token; set CRM_TOKEN")
    return str(answer.json()["access_token"])
