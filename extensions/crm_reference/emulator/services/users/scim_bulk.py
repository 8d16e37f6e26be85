"""SCIM's bulk requests (RFC 7644, section 3.7): operations one after another, with references between new resources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.contract.protocols import protocol_error
from crm_reference.emulator.call import Call, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.users import scim
from crm_reference.emulator.services.users.scim import KINDS
from crm_reference.emulator.services.users.scim_patch import refusal
from crm_reference.emulator.services.users.scim_schemas import BULK_RESPONSE, MAX_OPERATIONS
from crm_reference.emulator.services.users.scim_support import base, check_schema, reply

_SUCCESS = {"POST": 201, "PUT": 200, "PATCH": 200, "DELETE": 204}


@handles("runScimBulk")
def run(call: Call) -> Reply:
    """Do up to a hundred operations; stop after as many failures as the client allows."""
    operations, allowed = call.body["Operations"], call.body.get("failOnErrors", MAX_OPERATIONS)
    if len(operations) > MAX_OPERATIONS:
        raise Problem("content_too_large", f"There are {len(operations)} operations; {MAX_OPERATIONS} are allowed.")
    made: dict[str, str] = {}
    results, failures = [], 0
    for operation in operations:
        if failures >= max(allowed, 1):
            break
        result = _one(call, operation, made)
        failures += int(result["status"]) >= 400
        results.append(result)
    return reply({"schemas": [BULK_RESPONSE], "Operations": results})


def _one(call: Call, operation: Mapping[str, Any], made: dict[str, str]) -> dict[str, Any]:
    """Do one operation, in a transaction of its own, and return its outcome."""
    method = operation["method"]
    result: dict[str, Any] = {"method": method, **{k: operation[k] for k in ("bulkId",) if k in operation}}
    try:
        with call.world.store.transaction():
            location, version = _done(call, operation, made)
        result |= {"location": location, "status": str(_SUCCESS[method])} | ({"version": version} if version else {})
    except Problem as problem:
        declared = call.world.contract.errors[problem.code]
        keyword = str(problem.members.get("scim_type", ""))
        status, _, body = protocol_error("scim", problem.code, declared.status, problem.detail, keyword)
        result |= {"status": str(status), "response": body}
        if method != "POST":
            result["location"] = base(call) + operation["path"]
    return result


def _done(call: Call, operation: Mapping[str, Any], made: dict[str, str]) -> tuple[str, str]:
    """Do one operation and return the URL and the entity tag of its resource; no tag for one that is gone."""
    method = operation["method"]
    endpoint, _, id = operation["path"].removeprefix("/").partition("/")
    kind = KINDS.get(endpoint)
    if kind is None or bool(id) == (method == "POST"):
        raise refusal("validation_failed", f"{method} {operation['path'][:80]} is no operation.", "invalidValue")
    data = _referring(operation.get("data") or {}, made)
    if method == "POST":
        if not operation.get("bulkId"):
            raise refusal("validation_failed", "A creation in bulk has a bulkId.", "invalidValue")
        check_schema(call, kind.write_schema, data)
        record = scim.create(call, kind, data)
        made[operation["bulkId"]] = record.id
    else:
        record = kind.find(call, str(_referring(id, made)))
        if operation.get("version") and operation["version"] != record.etag:
            raise Problem("version_mismatch", f"version is {operation['version']}, and the resource's is {record.etag}.")
        if method == "DELETE":
            kind.remove(call, record)
            return f"{base(call)}/{endpoint}/{record.id}", ""
        check_schema(call, "ScimPatchRequest" if method == "PATCH" else kind.write_schema, data)
        record = (scim.patch if method == "PATCH" else scim.replace)(call, kind, record, data)
    return f"{base(call)}/{endpoint}/{record.id}", record.etag


def _referring(data: Any, made: Mapping[str, str]) -> Any:
    """Return data with ``bulkId:name`` replaced by the ID of the resource that an earlier operation made.

    :raises Problem: ``validation_failed`` where no operation before made it.
    """
    if isinstance(data, dict):
        return {k: _referring(v, made) for k, v in data.items()}
    if isinstance(data, list):
        return [_referring(v, made) for v in data]
    if isinstance(data, str) and data.startswith("bulkId:"):
        name = data.removeprefix("bulkId:")
        if name not in made:
            raise refusal("validation_failed", f"No operation before made {name[:60]}.", "invalidValue")
        return made[name]
    return data
