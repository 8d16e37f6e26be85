"""Events: the AsyncAPI document by its schema, and one name for an event everywhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs

from crm_reference.contract.documents import Node
from crm_reference.contract.lint.documents import document_errors
from crm_reference.contract.lint.registry import Problem, rule
from crm_reference.contract.lint.survey import COMMON, Survey
from crm_reference.contract.model import Event

_TYPE = re.compile(r"crm\.[a-z0-9]+(_[a-z0-9]+)*\.[a-z0-9]+(_[a-z0-9]+)*\.v\d+")


def schema_validator(survey: Survey, name: str) -> Any:
    """Return the validator of one of the JSON Schemas in ``source_specs/common``."""
    document = survey.common(name)
    registry = jsonschema_rs.Registry([(document.uri, document.data)], draft=jsonschema_rs.Draft202012)
    return jsonschema_rs.Draft202012Validator({"$ref": document.uri}, registry=registry)


def declared_type(event: Event) -> str:
    """Return the ``const`` that an event's payload gives ``type``; empty where it gives none."""
    schema = event.payload.resolved()
    for part in (schema, *(b.resolved() for b in schema.entries("allOf"))):
        const = part.get("properties", {}).get("type", {}).get("const")
        if const:
            return str(const)
    return ""


def envelope_members(node: Node) -> set[str]:
    """Return the names of the properties that a payload has, those of its allOf parts included."""
    schema = node.resolved()
    found = set(schema.get("properties", {}))
    for part in schema.entries("allOf"):
        found |= envelope_members(part)
    return found


@rule("asyncapi.schema")
def check_asyncapi(survey: Survey) -> Iterator[Problem]:
    """An AsyncAPI document is valid by common/asyncapi.yaml, our part of AsyncAPI 3.0."""
    validator = schema_validator(survey, "asyncapi.yaml")
    for service in survey.services:
        yield from document_errors(validator, service.asyncapi, service.asyncapi.data)


@rule("asyncapi.references")
def check_references(survey: Survey) -> Iterator[Problem]:
    """References in an AsyncAPI document lead somewhere, and shared things are referred to."""
    for service in survey.services:
        for name, message in _channel_messages(service.asyncapi.root):
            if "/components/messages/" not in str(message.get("$ref", "")):
                yield message.place, f"the channel's message {name} is written in place; refer to components/messages"
        root = service.asyncapi.root
        for name, operation in root.items("operations"):
            channel = operation.child("channel").resolved() if "channel" in operation else None
            known = {str(m.get("$ref")) for _, m in channel.items("messages")} if channel else set()
            for message in operation.entries("messages"):
                if message.resolved().uri not in {Node(root.document, r.partition("#")[2], None).uri for r in known}:
                    yield message.place, f"the operation {name} has a message that its channel doesn't carry; add it there"


def _channel_messages(root: Node) -> Iterator[tuple[str, Node]]:
    for _, channel in root.items("channels"):
        yield from channel.items("messages")


@rule("event.name")
def check_names(survey: Survey) -> Iterator[Problem]:
    """An event's type is crm.noun.verb.v1, the payload's `type` says the same, and no other service has it."""
    seen: dict[str, str] = {}
    for service in survey.services:
        for type_, event in service.events.items():
            if not _TYPE.fullmatch(type_):
                yield event.place, f"the event {type_} is not of the form crm.contact.created.v1; rename it"
            if type_ in seen:
                yield event.place, f"the event {type_} is one of {seen[type_]} as well; rename it"
            seen.setdefault(type_, service.slug)
            said = declared_type(event)
            if said != type_:
                message = f"the payload of {type_} says type {said or 'nothing'}; make its const {type_}"
                yield event.payload.resolved().place, message


@rule("event.payload")
def check_payloads(survey: Survey) -> Iterator[Problem]:
    """A payload is common/cloudevent.yaml's envelope with `data` of a schema of its own."""
    envelope = set(survey.common("cloudevent.yaml").data["CloudEvent"]["required"])
    for event in survey.contract.events.values():
        schema = event.payload.resolved()
        missing = sorted(envelope - envelope_members(schema))
        if missing:
            yield schema.place, f"the payload of {event.type} has no {', '.join(missing)}; build it on {COMMON}cloudevent.yaml"


@rule("event.declared")
def check_declared(survey: Survey) -> Iterator[Problem]:
    """What a manifest emits, what asyncapi.yaml describes, and what x-events name are the same events."""
    for service in survey.services:
        described, emitted = set(service.events), set(service.manifest.emits)
        place = service.manifest.node.place
        if "events" in service.manifest.node:
            place = service.manifest.node.child("events").place
        for type_ in sorted(emitted - described):
            yield place, f"the manifest emits {type_}, which asyncapi.yaml doesn't describe; add the message"
        for type_ in sorted(described - emitted):
            yield service.events[type_].place, f"{type_} is described and service.yaml doesn't emit it; add it to events.emits"
        named: set[str] = set()
        for operation in service.operations:
            named.update(operation.events)
            for type_ in operation.events:
                if type_ not in described:
                    message = f"{operation.id} emits {type_}, which asyncapi.yaml doesn't describe; add the message"
                    yield operation.node.child("x-events").place, message
        for type_ in sorted(described - named):
            yield service.events[type_].place, f"no operation emits {type_}; name it in x-events where it comes about"


@rule("event.channel")
def check_channels(survey: Survey) -> Iterator[Problem]:
    """Every event is on a channel, and a send operation sends it."""
    for service in survey.services:
        sent = {
            message.resolved().get("$ref", message.resolved().pointer)
            for _, operation in service.asyncapi.root.items("operations")
            if operation.get("action") == "send"
            for message in operation.entries("messages")
        }
        for event in service.events.values():
            if not event.channel:
                yield event.place, f"{event.type} is on no channel; add it to the channel of its aggregate"
            elif event.node.pointer not in sent:
                yield event.place, f"{event.type} is sent by no operation; add it to an operation with action: send"


@rule("event.expected")
def check_expected(survey: Survey) -> Iterator[Problem]:
    """What creates, changes, deletes or restores a record of a collection emits an event."""
    writing = {"create", "update", "replace", "delete", "restore", "upsert", "batch_create", "batch_update"}
    for operation in survey.operations:
        if operation.behaviour in writing and not operation.events:
            yield operation.place, f"{operation.id} changes a record and emits nothing; name its event in x-events"


@rule("event.summary")
def check_summaries(survey: Survey) -> Iterator[Problem]:
    """An event's summary is a sentence that says what happened, not when the event is sent: 'A contact was created.'"""
    sending = re.compile(r"\b(triggered|fired|emitted|sent|raised|published) (when|if|after|once|on)\b|^(emitted|triggered)", re.I)
    for event in survey.contract.events.values():
        if not event.summary.endswith(".") or sending.search(event.summary):
            yield event.place, f"the summary of {event.type} is {event.summary!r}; say in the past tense what happened"
