"""Laws of custom fields: every kind of field on every record that takes them, and values whose definition changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from crm_reference.conformance.laws.lab import Broken, Case, Lab, demand, describe, entries_of, filled, law
from crm_reference.conformance.laws.records import operation_of, repeatable, varied
from crm_reference.contract import Operation
from crm_reference.emulator import Request, Response

_FIELDS = "custom-fields"
_CHOICE = {"values": [{"value": "red", "label": "Red"}]}
#: By kind of field: further members of its definition, a value that fits, and one that doesn't.
_KINDS: Mapping[str, tuple[Mapping[str, Any], Any, Any]] = {
    "text": ({}, "Ice class 1A", 7),
    "long_text": ({}, "Moored at the eastern quay since spring.", 7),
    "integer": ({"minimum": 0, "maximum": 40}, 12, "twelve"),
    "decimal": ({}, 1.5, "one and a half"),
    "percent": ({}, 12.5, "an eighth"),
    "currency": ({"currency_code": "EUR"}, "12.50", "twelve"),
    "boolean": ({}, True, "yes"),
    "date": ({}, "2026-02-01", "2026-02-40"),
    "date_time": ({}, "2026-02-01T09:00:00Z", "yesterday"),
    "time": ({}, "09:30", "25:99"),
    "picklist": (_CHOICE, "red", "blue"),
    "multi_picklist": (_CHOICE, ["red"], ["blue"]),
    "url": ({}, "https://tidewater.example/fleet", "ftp://tidewater.example"),
    "email": ({}, "harbour@tidewater.example", "harbour"),
    "phone": ({}, "+31104400101", "440"),
    "reference": ({"target": "accounts"}, "acc_01KDVDNA000000000000000001", "acc_01KDVDNA0000000000000000ZZ"),
    "geolocation": ({}, "51.9053,4.4666", "north of the lock"),
}


class _Trial:
    """A collection that takes custom fields, and how records of it are made over and over.

    :param collection: Where the records are.
    """

    def __init__(self, lab: Lab, collection: str) -> None:
        self.lab = lab
        self.headers = {"authorization": lab.full_bearer(lab.administrator()), "content-type": "application/json"}
        self.case: Case = repeatable(lab, operation_of(lab, collection, "create"), self.headers)
        self.case.rewind()
        said = lab.contract.resources[collection].extensible
        self.object = self.case.path_values().get("object_type", said)
        self._made = 100

    def define(self, kind: str, more: Mapping[str, Any]) -> tuple[str, str]:
        """Define a field of a kind, and return its ID and name."""
        name = f"law_{kind}"
        body = {"object_type": self.object, "name": name, "label": f"Law of {kind}", "type": kind, **more}
        answer = self.send(operation_of(self.lab, _FIELDS, "create"), "/v1/custom-fields", body)
        demand(answer.status == 201, f"a field of the kind {kind} can't be defined for {self.object}: {describe(answer)}")
        return answer.json()["id"], name

    def create(self, name: str, value: Any) -> Response:
        """Create a record with a value in a field."""
        self._made += 1
        body = varied(self.case.body, self._made)
        body["custom_fields"] = {**body.get("custom_fields", {}), name: value}
        return self.send(self.case.operation, self.place, body)

    def read(self, id: str) -> Mapping[str, Any]:
        """Return the custom fields of a record.

        :raises Broken: If it can't be read.
        """
        operation = operation_of(self.lab, self.case.operation.resource, "read")
        answer = self.lab.send(operation, Request("GET", f"{self.place}/{id}", (), self.headers))
        demand(answer.status == 200, f"{id} can't be read any more: {describe(answer)}")
        values: Mapping[str, Any] = answer.json().get("custom_fields", {})
        return values

    @property
    def place(self) -> str:
        """The path of the collection."""
        return filled(self.case.operation.url_path, self.case.path_values())

    def send(self, operation: Operation, path: str, body: Any, **headers: str) -> Response:
        """Send JSON, or nothing where the body is ``None``."""
        content = b"" if body is None else orjson.dumps(body)
        return self.lab.send(operation, Request(operation.method, path, (), {**self.headers, **headers}, content))


def _demand_refused(answer: Response, name: str, why: str) -> None:
    pointers = [str(e.get("pointer", "")) for e in entries_of(answer)]
    is_named = any(p.startswith(f"#/custom_fields/{name}") for p in pointers)
    demand(answer.status == 422 and is_named, f"{why} got {describe(answer)}")


@law("custom-field-values")
def custom_field_values(lab: Lab, collection: str) -> None:
    """A value that fits a field's kind comes back as it was sent, and one that doesn't is refused at its place."""
    trial = _Trial(lab, collection)
    for kind, (more, good, bad) in _KINDS.items():
        _, name = trial.define(kind, more)
        made = trial.create(name, good)
        demand(made.status == 201, f"{good!r} in a field of the kind {kind} got {describe(made)}")
        kept = trial.read(made.json()["id"]).get(name)
        demand(kept == good, f"{good!r} in a field of the kind {kind} comes back as {kept!r}")
        _demand_refused(trial.create(name, bad), name, f"{bad!r} in a field of the kind {kind}")


@law("custom-field-changed")
def custom_field_changed(lab: Lab, collection: str) -> None:
    """A record stays readable when a definition is narrowed and when it goes; its old value can't be written again."""
    trial = _Trial(lab, collection)
    id, name = trial.define("integer", {"minimum": 0, "maximum": 40})
    record = trial.create(name, 30).json()["id"]

    def change(behaviour: str, body: Any, content_type: str) -> Response:
        operation = operation_of(lab, _FIELDS, behaviour)
        current = trial.send(operation_of(lab, _FIELDS, "read"), f"/v1/custom-fields/{id}", None)
        headers = {"if-match": current.headers["ETag"]} if "428" in operation.responses else {}
        return trial.send(operation, f"/v1/custom-fields/{id}", body, **{"content-type": content_type, **headers})

    narrowed = change("update", {"maximum": 20}, "application/merge-patch+json")
    if narrowed.status != 200:
        raise Broken(f"the definition can't be narrowed: {describe(narrowed)}")
    demand(trial.read(record).get(name) == 30, f"{name} of {record} is gone though only its definition was narrowed")
    _demand_refused(trial.create(name, 30), name, "the old value under the narrower definition")
    gone = change("delete", None, "application/json")
    if gone.status != 204:
        raise Broken(f"the definition can't be deleted: {describe(gone)}")
    demand(name not in trial.read(record), f"{record} still shows {name}, whose definition is gone")
    _demand_refused(trial.create(name, 10), name, "a value of a field that is gone")
