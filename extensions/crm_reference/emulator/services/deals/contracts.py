"""Contracts: recurring lines of an order for a time, their amendments, renewal and end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import enforces, handles
from crm_reference.emulator.services.deals import pricing, terms
from crm_reference.emulator.services.deals.creating import create_deal
from crm_reference.emulator.services.deals.money import decimal_of
from crm_reference.emulator.services.deals.offers import (
    AMENDMENTS,
    CONTRACTS,
    LINES,
    ORDERS,
    fault,
    next_number,
    writable_deal,
)
from crm_reference.emulator.store import Record

_BINDING = ("confirmed", "partly_fulfilled", "fulfilled")
_RUNNING = ("active", "renewed")
_OF_THE_LINE = ("line_number", "product_id", "name", "quantity", "unit_price", "discount_percent", "billing_period")


def _order(context: Context, id: str) -> Record | None:
    order = context.records.peek(ORDERS, id)
    return order if order is not None and context.records.visible(order) else None


def _recurring(order: Record) -> list[dict[str, Any]]:
    lines = [{k: x[k] for k in _OF_THE_LINE if k in x} for x in order.doc["lines"] if x["billing"] == "recurring"]
    return [{**line, "period_amount": terms.period_amount(line)} for line in lines]


@enforces("contract_order_usable")
def order_usable(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse an order that is not binding, or without anything that recurs."""
    if old is not None:
        return ""
    order = _order(context, new["order_id"])
    if order is None:
        return ""
    if order.doc["status"] not in _BINDING:
        return f"{order.doc['number']} is {order.doc['status']}. Confirm it first."
    return "" if _recurring(order) else f"{order.doc['number']} has no recurring lines."


def _amounts(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Return lines and what they cost a month and a year."""
    if not lines:
        return {"lines": lines}
    monthly = terms.monthly_of(lines)
    yearly = {"amount": format(decimal_of(monthly) * 12, "f"), "currency": monthly["currency"]}
    return {"lines": lines, "monthly_amount": monthly, "annual_amount": yearly}


@handles("createContract")
def create(call: Call) -> Reply:
    """Make a draft of the recurring lines of an order."""
    body: dict[str, Any] = {"status": "draft", **call.body}
    body["ends_on"] = terms.last_day(body["starts_on"], body["term_months"])
    order = _order(call, body["order_id"])
    if order is not None:
        deal = writable_deal(call, order.doc["deal_id"])
        body |= {"deal_id": deal.id, "account_id": deal.doc.get("account_id"), **_amounts(_recurring(order))}
        body["number"] = next_number(call, "C", CONTRACTS)
    contract = call.records.create(CONTRACTS, body, event="crm.contract.created.v1")
    return single.shown(call, contract, 201, Location=f"/v1/contracts/{contract.id}")


@handles("updateContract")
def update(call: Call) -> Reply:
    """Change terms that cost nothing at once."""
    writable_deal(call, call.found.doc["deal_id"])
    return single.update(call)


def _step(call: Call, contract: Record, patch: Mapping[str, Any], event: str, **more: Any) -> Record:
    changed = call.records.change(contract, patch)
    call.emit(event, changed.id, {"record": call.records.public(changed), **more})
    return changed


def _demand(contract: Record, statuses: tuple[str, ...]) -> None:
    """Refuse a contract that is not so far, or further.

    :raises Problem: ``contract_wrong_status``.
    """
    if contract.doc["status"] not in statuses:
        raise Problem("contract_wrong_status", f"The contract is {contract.doc['status']}.")


@handles("activateContract")
def activate(call: Call) -> Reply:
    """Put a signed contract into force."""
    writable_deal(call, call.found.doc["deal_id"])
    if call.body["signed_on"] > call.now[:10]:
        raise fault("day_in_future", "A contract is signed today at the latest.", "#/signed_on")
    _demand(call.found, ("draft",))
    changed = _step(call, call.found, {"status": "active", **call.body}, "crm.contract.activated.v1")
    return single.shown(call, changed)


# -- amendments ----------------------------------------------------------------------------------------------------------


def _amended(contract: Record, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an amendment changes and costs.

    :raises Problem: ``contract_wrong_status``, ``outside_contract_term``, ``contract_line_unknown``.
    """
    doc, day = contract.doc, body["effective_on"]
    if not doc["starts_on"] <= day <= doc["ends_on"]:
        raise fault("outside_contract_term", f"The contract runs from {doc['starts_on']} to {doc['ends_on']}.", "#/effective_on")
    by_number, changed = {line["line_number"]: line for line in doc["lines"]}, []
    for index, change in enumerate(body["changes"]):
        line = by_number.get(change["line_number"])
        if line is None:
            place = f"#/changes/{index}/line_number"
            raise fault("contract_line_unknown", f"The contract has no line {change['line_number']}.", place)
        asked = {"contract_starts_on": doc["starts_on"], "line": line, "quantity": change["quantity"], "effective_on": day}
        changed.append(terms.amended_line(asked))
        new = {**line, "quantity": change["quantity"]}
        by_number[change["line_number"]] = {**new, "period_amount": terms.period_amount(new)}
    _demand(contract, _RUNNING)
    lines = list(by_number.values())
    return {"changed": changed, "prorated_amount": _sum(changed), **_amounts(lines)}


def _sum(changed: list[dict[str, Any]]) -> dict[str, str]:
    currency = changed[0]["prorated_amount"]["currency"]
    return {"amount": format(sum(decimal_of(c["prorated_amount"]) for c in changed), "f"), "currency": currency}


@handles("previewContractAmendment")
def preview_amendment(call: Call) -> Reply:
    """Compute an amendment and write nothing."""
    found = _amended(call.parents["contract_id"], call.body)
    answer = {"contract_id": call.path["contract_id"], "effective_on": call.body["effective_on"], "lines": found["changed"]}
    return Reply(200, answer | {name: found[name] for name in ("prorated_amount", "monthly_amount")})


@handles("createContractAmendment")
def amend(call: Call) -> Reply:
    """Change a running contract, and keep what it cost."""
    contract = call.parents["contract_id"]
    writable_deal(call, contract.doc["deal_id"])
    found = _amended(contract, call.body)
    number = len(call.records.find(AMENDMENTS, contract_id=contract.id)) + 1
    made = {**call.body, "contract_id": contract.id, "number": number, "lines": found["changed"]}
    made |= {name: found[name] for name in ("prorated_amount", "monthly_amount")}
    amendment = call.records.create(AMENDMENTS, made)
    patch = {name: found[name] for name in ("lines", "monthly_amount", "annual_amount")}
    told = call.records.public(amendment)
    _step(call, contract, patch, "crm.contract.amended.v1", amendment=told)
    return single.shown(call, amendment, 201, Location=f"/v1/contracts/{contract.id}/amendments/{amendment.id}")


# -- the end -------------------------------------------------------------------------------------------------------------


def _renewal(contract: Record, body: Mapping[str, Any]) -> dict[str, Any]:
    _demand(contract, ("active",))
    months = body.get("term_months", contract.doc["term_months"])
    uplift = body.get("uplift_percent", contract.doc["uplift_percent"])
    found: dict[str, Any] = terms.renewal_of({"contract": contract.doc, "term_months": months, "uplift_percent": uplift})
    return found


@handles("previewContractRenewal")
def preview_renewal(call: Call) -> Reply:
    """Compute the next term and write nothing."""
    return Reply(200, {"contract_id": call.found.id, **_renewal(call.found, call.body)})


@handles("renewContract")
def renew(call: Call) -> Reply:
    """Make a deal of the next term, with its lines."""
    contract = call.found
    first = writable_deal(call, contract.doc["deal_id"])
    next_term = _renewal(contract, call.body)
    body = {
        "name": f"{contract.doc.get('name', contract.doc['number'])} (renewal)"[:120],
        "account_id": contract.doc.get("account_id"),
        "owner_id": first.doc["owner_id"],
        "amount": next_term["total_amount"],
        "close_on": contract.doc["ends_on"],
        "type": "renewal",
        "pipeline_id": call.body.get("pipeline_id"),
    }
    members = {"source": "renewal", "renewed_contract_id": contract.id, "amount_source": "line_items"}
    deal = create_deal(call, {k: v for k, v in body.items() if v is not None}, **members)
    for position, line in enumerate(next_term["lines"], 1):
        _renewed_line(call, deal, line, next_term, position)
    patch = {"status": "renewed", "renewal_deal_id": deal.id}
    return single.shown(call, _step(call, contract, patch, "crm.contract.renewed.v1"))


def _renewed_line(call: Call, deal: Record, line: Mapping[str, Any], next_term: Mapping[str, Any], position: int) -> None:
    """Write a line of the renewal's deal at its uplifted price."""
    kept = {k: line[k] for k in ("product_id", "name", "quantity", "discount_percent", "billing_period") if k in line}
    months, currency = next_term["term_months"], line["unit_price"]["currency"]
    price = {"model": "per_unit", "unit_price": line["unit_price"]["amount"]}
    doc = {**kept, "billing": "recurring", "term_months": months, "tax_rate": "0", "starts_on": next_term["starts_on"]}
    amounts = pricing.line_amounts({**doc, "price": price, "currency": currency})
    hidden = {"_price": price, "_list_amount": amounts["gross_amount"]["amount"]}
    place = {"deal_id": deal.id, "position": position, "price_source": "manual"}
    call.records.create(LINES, {**doc, **amounts, **hidden, **place}, event="crm.deal_line_item.created.v1")


@handles("terminateContract")
def terminate(call: Call) -> Reply:
    """End a contract early, no sooner than its notice allows."""
    contract, day = call.found, call.body["effective_on"]
    writable_deal(call, contract.doc["deal_id"])
    if not contract.doc["starts_on"] <= day < contract.doc["ends_on"]:
        raise fault("outside_contract_term", f"It ends on {contract.doc['ends_on']} in any case.", "#/effective_on")
    earliest = terms.next_day(call.now[:10], contract.doc["notice_days"])
    if day < earliest:
        raise fault(
            "contract_notice_too_short",
            f"With {contract.doc['notice_days']} days of notice it ends on {earliest}.",
            "#/effective_on",
        )
    if contract.doc["status"] == "terminated":
        raise Problem("contract_wrong_status", f"The contract ends on {contract.doc['terminated_on']} already.")
    credit = terms.credit_of({"starts_on": contract.doc["starts_on"], "lines": contract.doc["lines"], "effective_on": day})
    patch = {"status": "terminated", "terminated_on": day, "termination_reason": call.body["reason"], "termination_credit": credit}
    return single.shown(call, _step(call, contract, patch, "crm.contract.terminated.v1"))
