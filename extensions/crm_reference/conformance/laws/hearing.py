"""Events that a service hears: each matters, once, and in its order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from crm_reference.conformance.laws.lab import Broken, Lab, demand, law
from crm_reference.contract import Exchange, Hearing
from crm_reference.exchanges.pointers import find
from crm_reference.exchanges.replay import request_of

#: Members of a record that tell how often it was written, and not what it is.
_COUNTED = ("version", "updated_at", "updated_by")

Event = Mapping[str, Any]


@law("hearing-matters")
def hearing_matters(lab: Lab, subject: str) -> None:
    """Without the event, the answer that is said to show its effect is another one."""
    exchange = _exchanges(lab, subject)[0]
    answers = []
    for given in (exchange.given, tuple(s for s in exchange.given if isinstance(s, str) or "deliver" not in s)):
        changed = replace(exchange, given=given)
        lab.engine.clock.paused = False
        lab.replayer.prepare(changed)
        response = lab.send(lab.operation(exchange.operation), request_of(lab.replayer.compose(changed)))
        body = response.json() if response.body else None
        answers.append((response.status, [find(body, key) for key in exchange.expect if key.startswith("#")]))
    demand(answers[0] != answers[1], f"{exchange.id} answers the same without the event; its expect must show the effect")


@law("duplicate-delivery")
def duplicate_delivery(lab: Lab, subject: str) -> None:
    """A second delivery of the same event changes nothing."""
    exchange = _exchanges(lab, subject)[0]
    event = {**_event(lab, exchange, subject), "id": _id(1)}
    before = lab.state().contents
    lab.engine.deliver(event)
    once = lab.state()
    # What no client sees may be all that changes: who is in a group, as the service that is not its owner keeps it.
    demand(once.contents != before, f"the event changes nothing before {exchange.id}")
    lab.engine.deliver(event)
    demand(lab.state() == once, "the second delivery of the same event changes the state again")


@law("reordered-delivery")
def reordered_delivery(lab: Lab, subject: str) -> None:
    """Two events of one subject end in the same state in either order of arrival."""
    exchanges = _exchanges(lab, subject)
    events = [_event(lab, exchange, subject) for exchange in exchanges]
    # Events of other subjects know no order among each other.
    later = [e for e in events if e.get("subject") == events[0].get("subject")][-1]
    ends = []
    for order in ((1, 2), (2, 1)):
        first = _event(lab, exchanges[0], subject)
        for number in order:
            event = {**(first if number == 1 else later), "subject": first.get("subject", "one")}
            lab.engine.deliver({**event, "id": _id(number), "sequence": f"{number:020d}"})
        ends.append(_settled(lab))
    demand(ends[0] == ends[1], "an event that comes after a later one of its subject changes the state")


def _exchanges(lab: Lab, subject: str) -> list[Exchange]:
    """Return the exchanges of the operation that shows a hearing's effect, which have the event in their ``given``.

    :raises Broken: If there is none.
    """
    hearing = _hearing(lab, subject)
    shown = [e for e in lab.contract.exchanges.values() if e.operation == hearing.seen_by]
    found = [e for e in shown if any(_is_delivery(step, hearing.event) for step in e.given)]
    if not found:
        raise Broken(
            f"no exchange of {hearing.seen_by} has {hearing.event} in its given; add {{deliver: {{type: {hearing.event}}}}}"
        )
    return found


def _hearing(lab: Lab, subject: str) -> Hearing:
    slug, _, event = subject.partition(" <- ")
    return next(h for h in lab.contract.services[slug].manifest.hears if h.event == event)


def _event(lab: Lab, exchange: Exchange, subject: str) -> Event:
    """Do what an exchange's ``given`` says up to the delivery, and return the event, time standing still behind it."""
    wanted = _hearing(lab, subject).event
    place = next(i for i, step in enumerate(exchange.given) if _is_delivery(step, wanted))
    lab.engine.clock.paused = False
    lab.replayer.prepare(replace(exchange, given=exchange.given[:place]))
    lab.engine.clock.paused = True
    step: Any = exchange.given[place]
    return dict(lab.replayer.expected(replace(exchange, expect=step["deliver"])))


def _is_delivery(step: Any, event: str) -> bool:
    return not isinstance(step, str) and step.get("deliver", {}).get("type") == event


def _id(number: int) -> str:
    return f"evt_01KDVDNA00{number:016d}"


def _settled(lab: Lab) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Return what every record is, whatever it took to get there."""
    store, found = lab.engine.world.store, {}
    for collection in lab.contract.resources:
        for tenant in store.tenants(collection):
            for record in store.select(tenant, collection, deleted=None):
                found[tenant, collection, record.id] = {k: v for k, v in record.doc.items() if k not in _COUNTED}
    return found
