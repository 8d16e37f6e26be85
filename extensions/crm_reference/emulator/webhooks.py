"""Webhook deliveries, signed as Standard Webhooks (webhook-id, webhook-timestamp, webhook-signature) lays down.

Endpoints are records of the collection ``webhook-endpoints``: ``url``, ``secret``, ``event_types``, ``is_enabled``. In-process, a
delivery is made at once and kept for whoever looks; the HTTP server also posts it where the URL is on loopback.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
from standardwebhooks.webhooks import Webhook

from crm_reference.emulator.clock import seconds_of

if TYPE_CHECKING:
    from crm_reference.emulator.call import Context

COLLECTION = "webhook-endpoints"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt to deliver an event.

    :param headers: As they are sent, the signature among them.
    :param body: The event as JSON text, exactly the bytes that are signed.
    """

    endpoint: str
    url: str
    event_type: str
    headers: Mapping[str, str]
    body: str
    sent_at: str

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return {
            "endpoint": self.endpoint,
            "url": self.url,
            "event_type": self.event_type,
            "headers": dict(self.headers),
            "body": self.body,
            "sent_at": self.sent_at,
        }


@dataclass(slots=True)
class Webhooks:
    """Signs and keeps deliveries.

    :param post: Called with each delivery; the HTTP server sets it.
    """

    deliveries: list[Delivery] = field(default_factory=list)
    post: Callable[[Delivery], None] | None = None

    def enqueue(self, context: Context, event: Mapping[str, Any]) -> None:
        """Deliver an event to each enabled endpoint of the tenant that subscribes to its type."""
        endpoints = context.world.store.select(context.tenant, COLLECTION)
        for endpoint in endpoints:
            wanted = endpoint.doc.get("event_types", ())
            if endpoint.doc.get("is_enabled", True) and (event["type"] in wanted or "*" in wanted):
                delivery = _sign(endpoint.id, endpoint.doc, event, context.now)
                self.deliveries.append(delivery)
                if self.post is not None:
                    self.post(delivery)


def _sign(endpoint: str, doc: Mapping[str, Any], event: Mapping[str, Any], now: str) -> Delivery:
    body = orjson.dumps(event).decode()
    instant = datetime.fromtimestamp(seconds_of(now), UTC)
    headers = {
        "content-type": "application/cloudevents+json",
        "webhook-id": event["id"],
        "webhook-timestamp": str(seconds_of(now)),
        "webhook-signature": Webhook(doc["secret"]).sign(event["id"], instant, body),
    }
    return Delivery(endpoint, doc["url"], event["type"], headers, body, now)
