"""IP rules: which addresses may call, and which are trusted."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import computes, derives, enforces, handles, hears, presents
from crm_reference.emulator.services.security.people import roles_of
from crm_reference.emulator.store import Record

RULES = "ip-rules"

#: The shortest prefix that a denying rule may have, by version of the protocol.
_NARROWEST = {4: 8, 6: 16}
#: Where IPv6 spells the addresses of IPv4.
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
#: Between rules of equal prefix the first of these wins.
_WEIGHT = {"deny": 0, "trust": 1, "allow": 2}


def is_effective(doc: Mapping[str, Any], now: str, /) -> bool:
    """Tell whether a rule counts at an instant."""
    return bool(doc.get("is_enabled", True)) and doc.get("expires_at", "9") > now


@derives(RULES)
def follow(context: Context | None, doc: Mapping[str, Any]) -> Mapping[str, Any]:
    """Write the network in its shortest form, and enable a rule of which nothing else is said."""
    derived: dict[str, Any] = {"is_enabled": doc.get("is_enabled", True)}
    with suppress(ValueError):  # a rule refuses what is no network
        derived["network"] = str(ipaddress.ip_network(doc["network"]))
    return derived


@presents(RULES)
def present(context: Context, record: Record) -> Mapping[str, Any]:
    """Tell whether a rule counts now."""
    return {"is_effective": is_effective(record.doc, context.now)}


@enforces("ip_network_valid")
def network_valid(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse what is no network, or one in which no caller is looked for."""
    try:
        network = ipaddress.ip_network(new["network"])
    except ValueError as error:
        return f"{error}."
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        return f"{network} is IPv4 in the spelling of IPv6; write it as IPv4."
    return ""


@enforces("ip_network_narrow")
def network_narrow(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse to deny half the world."""
    try:
        network = ipaddress.ip_network(new["network"])
    except ValueError:
        return ""
    least = _NARROWEST[network.version]
    if new["effect"] == "deny" and network.prefixlen < least:
        return f"A rule that denies has a prefix of /{least} or longer."
    return ""


@enforces("ip_expiry_ahead")
def expiry_ahead(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse an end in the past, where it is set."""
    end = new.get("expires_at")
    if end is None or (old is not None and old.get("expires_at") == end):
        return ""
    return "" if end > context.now else f"It is {context.now} already."


@computes("ip_decision")
def decide(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Decide about an address: the rule with the longest prefix wins, and deny before trust before allow.

    :param asked: ``rules``, ``address``, ``role_ids`` (``null`` where nobody in particular is meant) and ``now``.
    :return: ``is_allowed``, ``is_trusted``, ``reason``, ``ip_rule_id`` and ``matching_rules``.
    """
    address = ipaddress.ip_address(asked["address"])
    address = getattr(address, "ipv4_mapped", None) or address  # one caller, however a socket spells the address
    roles = asked.get("role_ids") or ()
    about = [r for r in asked["rules"] if is_effective(r, asked["now"]) and r.get("role_id") in (None, *roles)]
    matching = [r for r in about if address in ipaddress.ip_network(r["network"])]
    matching.sort(key=lambda r: (-ipaddress.ip_network(r["network"]).prefixlen, _WEIGHT[r["effect"]], r["id"]))
    listed = [{"ip_rule_id": r["id"], "network": r["network"], "effect": r["effect"]} for r in matching]
    if matching:
        effect = matching[0]["effect"]
        decided = {"is_allowed": effect != "deny", "is_trusted": effect == "trust", "reason": "rule"}
        return {**decided, "ip_rule_id": matching[0]["id"], "matching_rules": listed}
    closed = any(r["effect"] != "deny" for r in about)
    reason = "not_listed" if closed else "no_rules"
    return {"is_allowed": not closed, "is_trusted": False, "reason": reason, "matching_rules": []}


def decision(context: Context, address: str, user: str | None = None, /) -> dict[str, Any]:
    """Decide about an address by the tenant's rules.

    :param user: For whom; rules for roles count for their holders alone.
    :raises ValueError: If the text is no address.
    """
    rules = [r.doc for r in context.records.find(RULES)]
    asked = {"rules": rules, "address": address, "role_ids": roles_of(context, user) if user else None, "now": context.now}
    decided: dict[str, Any] = decide(asked)
    return decided


def trust_of(context: Context, address: str, /) -> str:
    """Return what the rules say to an address, as conditions compare it: trusted, allowed or unlisted."""
    try:
        decided = decision(context, address)
    except ValueError:
        return "unlisted"
    if decided["reason"] != "rule":
        return "unlisted"
    return "trusted" if decided["is_trusted"] else "allowed" if decided["is_allowed"] else "unlisted"


@handles("evaluateIpAddress")
def evaluate(call: Call) -> Reply:
    """Decide about an address, for everybody or for one user."""
    user = call.body.get("user_id")
    if user and call.records.peek("users", user) is None:
        entry = {"pointer": "#/user_id", "code": "invalid_reference", "detail": "No user has this ID."}
        raise Problem("validation_failed", "1 field breaks a rule; see errors.", [entry])
    try:
        return Reply(200, decision(call, call.body["address"], user))
    except ValueError:
        entry = {"pointer": "#/address", "code": "ip_address_invalid", "detail": "is neither an IPv4 nor an IPv6 address"}
        raise Problem("validation_failed", "1 field breaks a rule; see errors.", [entry]) from None


@hears("crm.sign_in.blocked.v1")
def note_lockout(context: Context, event: Mapping[str, Any]) -> None:
    """Note a locked account at the rule that holds the address from which the last wrong password came."""
    address = event["data"].get("ip_address")
    try:
        rule = decision(context, address).get("ip_rule_id") if address else None
    except ValueError:
        return
    record = context.records.peek(RULES, rule) if rule else None
    if record is not None:
        latest = max(record.doc.get("last_lockout_at", ""), event.get("time", context.now))
        context.records.change(record, {"last_lockout_at": latest})
