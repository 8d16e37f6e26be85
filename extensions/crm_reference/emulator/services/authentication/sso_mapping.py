"""How what a provider says of somebody becomes what we keep: a pure computation that the vectors fix."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from crm_reference.emulator.call import Call, Reply
from crm_reference.emulator.registry import computes, handles

#: Targets without which nobody can be told from another.
DEMANDED = ("external_subject", "email")
_COMMON_NAME = re.compile(r"(?:^|,)\s*CN=([^,]+)", re.IGNORECASE)


@computes("attribute_mapping")
def attribute_mapping(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Map claims to attributes, and groups to a role.

    Rules are tried in their order; of a target the first that gives a value decides, but rules for groups add up. A rule gives the
    values of its claim after its transformation, empty ones left out, or else its default. A whole name is split at its last space
    where first or last name are mapped by no rule. The first of the group roles whose group the person is in gives the role;
    without one the default role does.

    :param asked: ``claims`` (name and values), ``attribute_mapping`` and ``provisioning`` of the provider.
    :return: ``attributes`` in the order of their targets' first rules, ``role_key`` where there is one, ``missing`` and
        ``unused_claims``.
    """
    claims = {c["name"]: [str(v) for v in c["values"]] for c in asked["claims"]}
    found: dict[str, dict[str, Any]] = {}
    for rule in asked["attribute_mapping"]:
        _apply(rule, claims, found)
    _split_name(found)
    used = {rule["source"] for rule in asked["attribute_mapping"]}
    role = _role(found.get("groups", {}).get("values", ()), asked.get("provisioning", {}))
    return {
        "attributes": list(found.values()),
        **({"role_key": role} if role else {}),
        "missing": [target for target in DEMANDED if target not in found],
        "unused_claims": sorted(set(claims) - used),
    }


def _apply(rule: Mapping[str, Any], claims: Mapping[str, list[str]], found: dict[str, dict[str, Any]]) -> None:
    target = rule["target"]
    if target in found and target != "groups":
        return
    changed = [transformed(v, rule.get("transform", "none")) for v in claims.get(rule["source"], ())]
    values = [v for v in changed if v]
    entry: dict[str, Any] = {"target": target, "values": values, "source": rule["source"]}
    if not values and "default_value" in rule and target not in found:
        entry = {"target": target, "values": [rule["default_value"]]}
    if not entry["values"]:
        return
    if target == "groups":
        entry["values"] = list(dict.fromkeys((*found.get(target, {}).get("values", ()), *entry["values"])))
    else:
        entry["values"] = entry["values"][:1]
    found[target] = entry


def transformed(value: str, transform: str, /) -> str:
    """Return a value after its transformation.

    >>> transformed("CN=Crew,OU=Groups,DC=harbourworks", "common_name")
    'Crew'
    """
    if transform == "lowercase":
        return value.lower()
    if transform == "before_at":
        return value.partition("@")[0]
    if transform == "common_name":
        match = _COMMON_NAME.search(value)
        return match[1].strip() if match else ""
    return value.strip() if transform == "trim" else value


def _split_name(found: dict[str, dict[str, Any]]) -> None:
    if "full_name" not in found:
        return
    source = {k: v for k, v in found["full_name"].items() if k == "source"}
    first, _, last = found["full_name"]["values"][0].strip().rpartition(" ")
    for target, value in (("first_name", first), ("last_name", last)):
        if value and target not in found:
            found[target] = {"target": target, "values": [value], **source}


def _role(groups: Sequence[str], provisioning: Mapping[str, Any]) -> str:
    for entry in provisioning.get("group_roles", ()):
        if entry["group"] in groups:
            return str(entry["role_key"])
    return str(provisioning.get("default_role_key", ""))


def mapped(provider: Mapping[str, Any], claims: Mapping[str, Any], /) -> dict[str, Any]:
    """Map the claims of a token or assertion by a provider's rules."""
    listed = [{"name": k, "values": v if isinstance(v, list) else [v]} for k, v in claims.items()]
    rules = {k: provider[k] for k in ("attribute_mapping", "provisioning")}
    outcome: dict[str, Any] = attribute_mapping({**rules, "claims": listed})
    return outcome


def values_of(outcome: Mapping[str, Any], /) -> dict[str, str]:
    """Return the single values of a mapping's outcome by target."""
    return {a["target"]: a["values"][0] for a in outcome["attributes"]}


@handles("previewAttributeMapping")
def preview(call: Call) -> Reply:
    """Show whom a mapping would make of claims."""
    provider = call.found.doc
    asked = {k: provider[k] for k in ("attribute_mapping", "provisioning")}
    return Reply(200, attribute_mapping({**asked, "claims": call.body["claims"]}))
