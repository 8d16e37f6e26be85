"""The bundle's files, and how they come to disk: each whole, and only where it differs."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import orjson
import yaml

from crm_reference.contract.bundle.asyncapi import event_document
from crm_reference.contract.bundle.openapi import platform_document, service_document
from crm_reference.contract.bundle.postman import collection
from crm_reference.contract.model import Contract
from crm_reference.contract.validation import Validators

#: The document of all services, at the bundle's top.
PLATFORM = "crm-openapi.json"


class _Dumper(yaml.CSafeDumper):
    """Writes every value out: an alias would make readers look in two places."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def to_yaml(data: Any) -> bytes:
    """Return JSON data as YAML text."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120, encoding="utf-8")


def to_json(data: Any) -> bytes:
    """Return JSON data as indented text."""
    return orjson.dumps(data, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def bundle_files(contract: Contract, /) -> dict[str, bytes]:
    """Return every file of the bundle by its name below the target."""
    for service in contract.services.values():
        # a registry knows the documents that were opened before it was made
        _ = service.openapi.data, service.asyncapi.data
    validators = Validators(contract.library)
    files: dict[str, bytes] = {}
    documents = {}
    for slug, service in contract.services.items():
        document = documents[slug] = service_document(contract, service, validators)
        files[f"{slug}/openapi.yaml"] = to_yaml(document)
        files[f"{slug}/openapi.json"] = to_json(document)
        files[f"{slug}/asyncapi.yaml"] = to_yaml(event_document(contract, service))
        files[f"{slug}/postman.json"] = to_json(collection(contract, service))
        for vectors in service.vectors:
            files[f"{slug}/vectors/{vectors.name}.yaml"] = vectors.node.document.path.read_bytes()
    if documents:
        files[PLATFORM] = to_json(platform_document(documents, dict(contract.services)))
    return files


def write_bundle(contract: Contract, target: Path, /) -> list[Path]:
    """Write the bundle.

    :param target: Folder; it is made where it is missing. Files in it that the bundle doesn't have are left alone.
    :return: The files that were written, sorted; those that were the same already are not.
    :raises OSError: If the disk refuses.
    """
    written = []
    for name, content in sorted(bundle_files(contract).items()):
        path = target / name
        if not path.is_file() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            _replace(path, content)
            written.append(path)
    return written


def _replace(path: Path, content: bytes) -> None:
    """Put a file in place in one step, so that nobody reads half of it."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
