"""The documents of a new service: written from the requirement catalogue, so that ``check`` says what is still missing.

What is written is complete in form and empty in substance: health and metrics work at once, every facet of the service's criterion
stands in the charter without a capability, and every page of the chapter exists. No list anywhere needs an edit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from string import Template

from crm_reference.contract import Contract, ContractError, Finding, Requirement, load
from crm_reference.contract.documents import place_of

_SLUG = re.compile(r"[a-z][a-z]*(-[a-z]+)*")

#: Template to the place of what is made of it; ``$slug`` is replaced in both.
_FILES = {
    "openapi.yaml": "source_specs/$slug/openapi.yaml",
    "asyncapi.yaml": "source_specs/$slug/asyncapi.yaml",
    "service.yaml": "source_specs/$slug/service.yaml",
    "examples.yaml": "examples/$slug/operate.yaml",
    "world.yaml": "examples/world/$slug.yaml",
    "docs/index.md": "docs/services/$slug/index.md",
    "docs/operate.md": "docs/services/$slug/operate.md",
    "docs/rules.md": "docs/services/$slug/rules.md",
    "docs/events.md": "docs/services/$slug/events.md",
    "docs/errors.md": "docs/services/$slug/errors.md",
    "docs/build.md": "docs/services/$slug/build.md",
}


def new_service(root: Path, slug: str, /, *, title: str = "") -> list[Path]:
    """Write the documents, exchanges, world and chapter of a service.

    :param root: The project's root.
    :param slug: Name of the service in the requirement catalogue.
    :param title: Title of the chapter; the slug in words by default.
    :return: The files that were written, relative to the root.
    :raises ContractError: If the slug is malformed, no criterion is about it, or a file of it exists; then nothing is written.
    """
    if not _SLUG.fullmatch(slug):
        raise _refused(f"{slug!r} can't be a service's name; use lower-case words with hyphens")
    contract = load(root)
    criteria = [r for r in contract.requirements.values() if r.kind == "criterion" and r.service == slug]
    if not criteria:
        known = ", ".join(sorted({r.service for r in contract.requirements.values() if r.service}))
        raise _refused(f"no criterion of source_specs/requirements.yaml is about {slug}; it knows {known}")
    values = _values(contract, slug, title or slug.replace("-", " ").capitalize(), criteria)
    written = {Path(Template(target).substitute(slug=slug)): _text(name, values) for name, target in _FILES.items()}
    present = [path for path in written if (root / path).exists()]
    if present:
        raise _refused(f"{present[0]} exists already; remove it, or extend the service where it is")
    _write(root, written)
    return list(written)


def _write(root: Path, texts: Mapping[Path, str]) -> None:
    """Write all files, or none where one can't be written."""
    made: list[Path] = []
    try:
        for path, text in texts.items():
            above = [folder for folder in (root / path).parents if not folder.exists()]
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            made += reversed(above)
            made.append(root / path)
            (root / path).write_text(text, encoding="utf-8")
    except OSError:
        for path in reversed(made):
            path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
        raise


def _values(contract: Contract, slug: str, title: str, criteria: list[Requirement]) -> dict[str, str]:
    facets = [f for c in criteria for f in contract.facets(c.id)]
    return {
        "slug": slug,
        "title": title,
        "noun": slug.replace("-", " "),
        "pascal": "".join(part.capitalize() for part in slug.split("-")),
        "screaming": slug.upper().replace("-", "_"),
        "snake": slug.replace("-", "_"),
        "criteria": " and ".join(c.text.rstrip(".") for c in criteria),
        "charter": "".join(f"  # {f.title}: {f.text}\n  {f.id}: []\n" for f in facets),
        "covers": " ".join(f.id for f in facets),
    }


def _text(name: str, values: dict[str, str]) -> str:
    template = files(__name__).joinpath("templates", name).read_text(encoding="utf-8")
    return Template(template).substitute(values)


def _refused(message: str) -> ContractError:
    return ContractError([Finding(place_of("source_specs/requirements.yaml"), "scaffold", message)])
