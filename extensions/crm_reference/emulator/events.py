"""Events: CloudEvents in an outbox, handed to listening services and to webhook endpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from crm_reference.emulator.registry import LISTENERS, service_of
from crm_reference.emulator.store import Store
from crm_reference.emulator.webhooks import Webhooks

if TYPE_CHECKING:
    from crm_reference.emulator.call import Context

#: How deep reactions to reactions may go: two services that answer each other for ever are a bug.
_MAX_DEPTH = 8


class EventLoop(RuntimeError):
    """Services reacted to each other's events without end."""


class Outbox:
    """Where events go. They are written in the transaction of the change that they tell of, so that none is lost or invented."""

    def __init__(self, store: Store, webhooks: Webhooks) -> None:
        self._store = store
        self._webhooks = webhooks
        self._depth = 0
        #: Events that no webhook has got yet, by their row.
        self._unsent: dict[int, Mapping[str, Any]] = {}
        self._heard: set[tuple[str, str]] = set()
        #: Highest sequence that a service has heard of a subject, by service, tenant and subject.
        self._newest: dict[tuple[str, str, str], str] = {}

    def emit(self, context: Context, type: str, subject: str, data: Mapping[str, Any]) -> dict[str, Any]:
        """Build an event (CloudEvents 1.0.2, structured mode), keep it, and hand it on.

        What a service emits because it heard an event is numbered aside: which services listen must not change what a request
        is seen to do.

        :raises KeyError: If no AsyncAPI document declares the type: an undocumented event is a bug.
        """
        declared = context.world.contract.events[type]
        row, source = self._store.last_event() + 1, f"/services/{declared.service}"
        sequence = self._store.last_sequence(context.tenant, source) + 1
        event = {
            "specversion": "1.0",
            "id": context.new_id("evt", aside=self._depth > 0),
            "source": source,
            "type": type,
            "subject": subject,
            "time": context.now,
            "datacontenttype": "application/json",
            "dataschema": f"https://docs.crm.example/events/{type}",
            "tenantid": context.tenant,
            "sequence": f"{sequence:020d}",
            "data": dict(data),
        }
        if context.identity.actor and ":" not in context.identity.actor:
            event["actor"] = context.identity.actor
        self._store.append_event(context.tenant, event, follows=self._depth > 0)
        self._unsent[row] = event
        self.hand_on(context, event)
        return event

    def publish(self) -> tuple[str, ...]:
        """Send what was emitted and not undone to the webhooks, outside of any transaction: what is sent can't be taken back.

        :return: The types of what was sent.

        An undone event leaves its row to the next one; where none came, the row is behind the newest event's.
        """
        if not self._unsent:
            return ()
        newest = self._store.last_event()
        sent = [event for row, event in self._unsent.items() if row <= newest]
        self._unsent.clear()
        for event in sent:
            self._webhooks.send(self._store, event)
        return tuple(event["type"] for event in sent)

    def hand_on(self, context: Context, event: Mapping[str, Any]) -> None:
        """Let every listening service react once; a second delivery of the same event changes nothing.

        Nor does one that a later event of the same subject has overtaken.

        :raises EventLoop: If reactions nest deeper than eight.
        """
        if self._depth >= _MAX_DEPTH:
            raise EventLoop(f"services react to each other without end; the last event was {event['type']}")
        self._depth += 1
        try:
            for listener in LISTENERS.get(event["type"], ()):
                key = (event["id"], f"{listener.__module__}.{listener.__qualname__}")
                if key not in self._heard and not self._is_overtaken(service_of(listener), event):
                    self._heard.add(key)
                    reaction = context.within(service_of(listener))
                    reaction.is_upkeep = True
                    listener(reaction, event)
        finally:
            self._depth -= 1

    def _is_overtaken(self, service: str, event: Mapping[str, Any]) -> bool:
        subject, sequence = event.get("subject"), event.get("sequence")
        if not subject or not sequence:
            return False
        key = (service, event["tenantid"], subject)
        if sequence < self._newest.get(key, ""):
            return True
        self._newest[key] = sequence
        return False

    def forget(self) -> None:
        """Forget which events were heard: for a fresh world."""
        self._unsent.clear()
        self._heard.clear()
        self._newest.clear()
