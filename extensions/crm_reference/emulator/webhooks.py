"""Webhook deliveries, signed as Standard Webhooks (webhook-id, webhook-timestamp, webhook-signature) lays down.

Endpoints are records of the collection ``webhook-endpoints``: ``url``, ``secret``, ``event_types``, ``is_enabled``. In-process, a
delivery is made at once and kept for whoever looks; the HTTP server also posts it where the URL is on loopback.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import orjson
from standardwebhooks.webhooks import Webhook

from crm_reference.emulator.clock import seconds_of
from crm_reference.emulator.store import Record, Store

COLLECTION = "webhook-endpoints"

#: How many deliveries are kept to be looked at.
KEPT = 10_000


@dataclass(frozen=True)
class Delivery:
    """One attempt to deliver an event. It is signed when somebody looks at it: most are never looked at.

    :param endpoint: ID of the endpoint.
    :param secret: The endpoint's, when the event left.
    """

    endpoint: str
    url: str
    secret: str = field(repr=False)
    event: Mapping[str, Any]

    @property
    def event_type(self) -> str:
        """The event's type."""
        return str(self.event["type"])

    @property
    def sent_at(self) -> str:
        """When it was sent: as soon as the event was there."""
        return str(self.event["time"])

    @cached_property
    def body(self) -> str:
        """The event as JSON text, exactly the bytes that are signed."""
        return orjson.dumps(self.event).decode()

    @cached_property
    def headers(self) -> Mapping[str, str]:
        """Headers as they are sent, the signature among them."""
        sent = seconds_of(self.sent_at)
        return {
            "content-type": "application/cloudevents+json",
            "webhook-id": self.event["id"],
            "webhook-timestamp": str(sent),
            "webhook-signature": Webhook(self.secret).sign(self.event["id"], datetime.fromtimestamp(sent, UTC), self.body),
        }

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
    """Makes and keeps deliveries, the newest ten thousand.

    :param post: Called with each delivery; the HTTP server sets it.
    """

    deliveries: deque[Delivery] = field(default_factory=lambda: deque(maxlen=KEPT))
    post: Callable[[Delivery], None] | None = None

    def send(self, store: Store, event: Mapping[str, Any], /) -> None:
        """Deliver an event to each enabled endpoint of its tenant that subscribes to its type."""
        tenant = event["tenantid"]
        for endpoint in store.remembered(COLLECTION, tenant, lambda: _enabled(store, tenant)):
            wanted = endpoint.doc.get("event_types", ())
            if event["type"] in wanted or "*" in wanted:
                delivery = Delivery(endpoint.id, endpoint.doc["url"], endpoint.doc["secret"], event)
                self.deliveries.append(delivery)
                if self.post is not None:
                    self.post(delivery)


def _enabled(store: Store, tenant: str) -> list[Record]:
    return [e for e in store.select(tenant, COLLECTION) if e.doc.get("is_enabled", True)]
