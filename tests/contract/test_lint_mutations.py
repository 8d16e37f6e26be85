"""Every lint rule has a change to harbour that it finds, at its file and line."""

# ruff: noqa: E501  (a table reads by its columns)

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from crm_reference.contract import load
from crm_reference.contract.lint import RULES, lint

OPENAPI = "source_specs/berths/openapi.yaml"
ASYNCAPI = "source_specs/berths/asyncapi.yaml"
MANIFEST = "source_specs/berths/service.yaml"
EXAMPLES = "examples/berths.yaml"
HOSTILE = "examples/hostile/berths.yaml"
WORLD = "examples/world/harbour.yaml"
VECTORS = "examples/vectors/berths/name-key.yaml"

CREATE = "  /berths:\n    post:\n      operationId: createBerth"
CREATE_SCHEMA = "      description: A new berth.\n"
UPDATE_SCHEMA = "      description: Changes to a berth, as a JSON merge patch.\n"
PAGE = "      description: A page of berths.\n      required: [data, has_more]\n"
LIST_HEADERS = "          headers:\n            Link: {$ref: '../common/headers.yaml#/Link'}\n"
EMAIL = "          $ref: '../common/schemas.yaml#/Email'\n          description: Where the berth's keeper is reached.\n"


class Case(NamedTuple):
    """A change, and where the rule must find it.

    ``on`` stands in the line that the finding names, ``says`` in its message; ``at`` is the finding's file where it isn't ``file``.
    """

    rule: str
    file: str
    old: str
    new: str
    on: str
    says: str
    at: str = ""


#: The conditions of a search, and in their place those of a count.
SEARCHED = """\
              - {field: status, operator: in, values: [free]}
              - {field: length_metres, operator: gte, value: 40}
              - {field: name, operator: contains, value: Quay}
              - {field: length_metres, operator: between, from: 40, to: 200}
              - {field: neighbour_id, operator: is_not_set}
        sorts:
          - {field: name, direction: descending}
        fields: [name, status]
        limit: 10
"""
COUNTED = """\
              - {field: status, operator: eq, value: free}
              - {field: status, operator: in, values: [free, reserved]}
              - {field: name, operator: starts_with, value: North}
              - {field: length_metres, operator: between, from: 40, to: 200}
              - {field: neighbour_id, operator: is_not_set}
"""

CASES = [
    # documents
    Case(
        *("ref.dangling", OPENAPI, "      properties:\n        ends_at:\n          $ref: '../common/schemas.yaml#/Timestamp'\n"),
        "      properties:\n        ends_at:\n          $ref: '../common/schemas.yaml#/Instant'\n",
        *("ends_at:", "has no 'Instant'"),
    ),
    Case("openapi.schema", OPENAPI, "      summary: Count berths\n", "      summary: [Count berths]\n", "summary: [Count", "summary"),
    Case("schema.dialect", OPENAPI, "BerthReservation:\n      type: object", "BerthReservation:\n      type: thing", "type: thing", "no JSON Schema"),
    Case("openapi.head", OPENAPI, "  summary: Places for ships in a harbour, and who holds them\n", "", "info:", "no summary"),
    Case("openapi.tags", OPENAPI, "    description: Hold a berth for a ship that is under way.\n", "", "name: reservations", "no description"),
    Case("openapi.webhooks", OPENAPI, "\ncomponents:\n", "\nwebhooks: {}\n\ncomponents:\n", "webhooks:", "openapi-generator"),
    Case(
        *("openapi.body-example", OPENAPI, "            schema: {$ref: '#/components/schemas/BerthCreate'}\n"),
        "            schema: {$ref: '#/components/schemas/BerthCreate'}\n            example: {name: South Pier}\n",
        *("application/json:", "move it to examples/berths.yaml"),
    ),
    Case(
        *("operation.key-order", OPENAPI, "      operationId: createBerth\n      summary: Create a berth\n"),
        "      summary: Create a berth\n      operationId: createBerth\n",
        *("summary: Create a berth", "operationId belongs"),
    ),
    Case("yaml.status-quoted", OPENAPI, "        '204':", "        204:", "204:", "write '204'"),
    Case("yaml.indent", OPENAPI, "      operationId: countBerths\n", "       \n      operationId: countBerths\n", "post:", "7 characters"),
    Case("yaml.blank-line", OPENAPI, "\n    get:\n      operationId: listBerths", "    get:\n      operationId: listBerths", "get:", "listBerths"),
    # vocabulary
    Case("x.known", OPENAPI, "      x-consistency: strong\n", "      x-speed: high\n", "x-speed", "x-speed is no keyword"),
    Case("x.value", OPENAPI, "      x-consistency: strong\n", "      x-consistency: maybe\n", "x-consistency: maybe", "x-consistency"),
    Case(
        *("x.value", OPENAPI, "          target: users\n", "", "id: owner-exists", "'owner-exists' lacks what its kind 'reference' needs"),
    ),
    Case("x.place", OPENAPI, CREATE_SCHEMA, CREATE_SCHEMA + "      x-policy: write\n", "x-policy: write", "on an operation only"),
    Case("x.policy", OPENAPI, "      x-policy: list\n", "      x-policy: lists\n", "get:", "listBerths has the policy 'lists'"),
    Case("x.requirements", OPENAPI, "[REQ-1.1-reservation]", "[REQ-1.1-parking]", "[REQ-1.1-parking]", "REQ-1.1-parking"),
    # operations
    Case(
        *("operation.path-parameters", OPENAPI, "    BerthId:\n      name: berth_id\n      in: path\n      required: true\n"),
        "    BerthId:\n      name: berth_id\n      in: path\n      required: false\n",
        *("BerthId:", "isn't required"),
    ),
    Case(
        *("operation.parameter-twice", OPENAPI, "        - $ref: '../common/parameters.yaml#/Sort'\n"),
        "        - $ref: '../common/parameters.yaml#/Sort'\n        - $ref: '#/components/parameters/BerthStatusFilter'\n",
        *("BerthStatusFilter:", "status twice"),
    ),
    Case(
        *("security.declared", OPENAPI, "      x-public: A probe of the platform has no token, and the answer says nothing.\n", ""),
        *("get:", "getBerthsLiveness is open"),
    ),
    Case(
        *("security.scope", OPENAPI, "      x-consistency: strong\n      security:\n        - oauth2: [berths.read]"),
        "      x-consistency: strong\n      security:\n        - oauth2: [berths.search]",
        *("post:", "searchBerths demands berths.search"),
    ),
    Case(
        "security.note",
        OPENAPI,
        "      x-security: Count only what the caller may see, since a total over all would tell what is hidden.\n",
        *("", "post:", "countBerths has no x-security"),
    ),
    Case(
        *("operation.idempotency", OPENAPI, "      x-policy: search\n      requestBody:\n        description: What to count.\n"),
        "      x-policy: search\n      parameters:\n        - $ref: '../common/parameters.yaml#/IdempotencyKey'\n"
        "      requestBody:\n        description: What to count.\n",
        *("post:", "countBerths changes nothing"),
    ),
    Case(
        *("operation.if-match", OPENAPI, "        - $ref: '../common/parameters.yaml#/IfMatch'\n      requestBody:\n"),
        "        - $ref: '../common/parameters.yaml#/Fields'\n      requestBody:\n",
        *("patch:", "updateBerth doesn't take If-Match"),
    ),
    Case("operation.patch-media", OPENAPI, "application/merge-patch+json", "application/json", "patch:", "updateBerth takes application/json"),
    Case("operation.body", OPENAPI, "        description: What to look for.\n", "", "requestBody:", "searchBerths: the body lacks"),
    Case("operation.paging", OPENAPI, LIST_HEADERS, "", "get:", "listBerths answers with a page and has no Link"),
    Case("operation.read", OPENAPI, "        - $ref: '../common/parameters.yaml#/IfNoneMatch'\n", "", "get:", "getBerth can't answer 304"),
    Case(
        *("operation.create", OPENAPI, "            Location: {$ref: '../common/headers.yaml#/Location'}\n", ""),
        *("post:", "createBerth: 201 has no Location"),
    ),
    Case("operation.links", OPENAPI, "getBerth: {operationId: getBerth,", "getBerth: {operationId: getPier,", "'201':", "names no operation"),
    Case("operation.job", OPENAPI, "        '200':\n          description: The berth, now reserved.", "        '202':\n          description: The berth, now reserved.", "'202':", "reserveBerth: 202 has no Location"),
    Case("operation.batch", OPENAPI, "  /berths/{berth_id}/reserve:\n    parameters:\n      - $ref: '#/components/parameters/BerthId'\n", "  /berths/batch/create:\n", "post:", "doesn't answer 207"),
    Case("errors.known", OPENAPI, "      x-errors: [berth_not_free]", "      x-errors: [berth_gone]", "post:", "reserveBerth answers berth_gone"),
    Case("errors.used", OPENAPI, "      x-errors: [berth_not_free]\n", "", "berth_not_free:", "no operation answers berth_not_free", MANIFEST),
    Case("operation.health", OPENAPI, "operationId: getBerthsLiveness", "operationId: getBerthsPulse", "get:", "must be getBerthsLiveness"),
    Case("operation.deprecated", OPENAPI, "      x-consistency: strong\n", "      x-consistency: strong\n      deprecated: true\n", "'200':", "searchBerths is deprecated"),
    Case("operation.consistency", OPENAPI, "      x-consistency: strong\n", "", "post:", "searchBerths doesn't say"),
    Case("security.secret-in-url", OPENAPI, "      name: length_metres_gte\n", "      name: token\n", "BerthLengthAtLeast:", "token in the URL"),
    # names
    Case("name.path", OPENAPI, "  /berths/count:", "  /berths/countAll:", "post:", "'countAll' is not kebab-case"),
    Case("name.segment", OPENAPI, "  /berths/count:", "  /piers/count:", "post:", "begins with piers"),
    Case("name.ambiguous-path", OPENAPI, "  /berths/health:", "  /berths/{pier_id}:", "get:", "same URL"),
    Case("name.operation", OPENAPI, "operationId: countBerths", "operationId: count_berths", "post:", "count_berths"),
    Case(
        *("name.schema", OPENAPI, "    BerthPage:\n", "    Model:\n      type: string\n    BerthPage:\n", "Model:", "the schema name Model"),
    ),
    Case("name.property", OPENAPI, "        is_covered:\n          type: boolean\n          description: Whether there is a roof.\n          default: false\n", "        covered:\n          type: boolean\n          description: Whether there is a roof.\n          default: false\n", "covered:", "BerthCreate.covered is a boolean"),
    Case("name.time", OPENAPI, "        reservation_ends_at:\n", "        reserved_until:\n", "reserved_until:", "end in _at"),
    Case("name.reference", OPENAPI, "        neighbour_id:\n          $ref: '#/components/schemas/BerthId'\n          description: The berth on the seaward side.\n        tags:\n          type: array\n          description: Labels for grouping.\n          maxItems: 10\n          uniqueItems: true\n          items: {$ref: '../common/schemas.yaml#/Tag'}\n          examples: [[ferries]]\n        owner_id:\n          $ref: '../common/schemas.yaml#/UserId'\n          description: The user who answers for the berth.\n          x-presence", "        neighbour:\n          $ref: '#/components/schemas/BerthId'\n          description: The berth on the seaward side.\n        tags:\n          type: array\n          description: Labels for grouping.\n          maxItems: 10\n          uniqueItems: true\n          items: {$ref: '../common/schemas.yaml#/Tag'}\n          examples: [[ferries]]\n        owner_id:\n          $ref: '../common/schemas.yaml#/UserId'\n          description: The user who answers for the berth.\n          x-presence", "neighbour:", "Berth.neighbour holds an ID"),
    Case("name.enum", OPENAPI, "enum: [free, reserved, occupied]", "enum: [Free, reserved, occupied]", "BerthStatus:", "'Free'"),
    Case("name.scope", MANIFEST, "  berths.health:", "  piers.health:", "piers.health", "doesn't begin with berths"),
    Case("name.prefix", MANIFEST, "prefix: ber,", "prefix: pie,", "x-resource:", "boundary.owns lacks", OPENAPI),
    # schemas
    Case("schema.inline", OPENAPI, PAGE + "      properties:\n", PAGE + "      properties:\n        totals: {type: object, description: Sums over the page., properties: {}}\n", "totals:", "BerthPage.totals is an object without a name"),
    Case("schema.unused", OPENAPI, "    BerthPage:\n", "    BerthShape:\n      type: string\n    BerthPage:\n", "BerthShape:", "nothing refers to schemas/BerthShape"),
    Case("schema.type", OPENAPI, "    BerthId:\n      type: string\n", "    BerthId:\n", "BerthId:", "BerthId has no type"),
    Case("schema.siblings", OPENAPI, "          description: Name on the harbour's map.\n", "          description: Name on the harbour's map.\n          maxLength: 40\n", "name:", "maxLength beside $ref"),
    Case("schema.description", OPENAPI, "          description: The longest ship that fits, in metres.\n          minimum: 5\n          maximum: 500\n          examples: [120]\n        is_covered:\n          type: boolean\n          description: Whether there is a roof.\n          default", "          minimum: 5\n          maximum: 500\n          examples: [120]\n        is_covered:\n          type: boolean\n          description: Whether there is a roof.\n          default", "length_metres:", "BerthCreate.length_metres has no description"),
    Case("schema.bounds-text", OPENAPI, "      minLength: 30\n      maxLength: 30\n      examples: [ber_", "      minLength: 30\n      examples: [ber_", "BerthId:", "no maxLength"),
    Case("schema.bounds-number", OPENAPI, "        description: A length in metres.\n        minimum: 5\n        maximum: 500\n", "        description: A length in metres.\n        minimum: 5\n", "schema:", "no minimum or no maximum"),
    Case("schema.bounds-list", OPENAPI, "          maxItems: 200\n", "", "data:", "BerthPage.data has no maxItems"),
    Case("schema.closed", OPENAPI, CREATE_SCHEMA + "      additionalProperties: false\n", CREATE_SCHEMA, "BerthCreate:", "written by clients and open"),
    Case("schema.open", OPENAPI, PAGE, PAGE + "      additionalProperties: false\n", "BerthPage:", "only read and closed"),
    Case("schema.null", OPENAPI, "          type: boolean\n          description: Whether there is another page.\n", "          type: [boolean, 'null']\n          description: Whether there is another page.\n", "has_more:", "admits null outside"),
    Case("schema.union", OPENAPI, "            - $ref: '#/components/schemas/BerthId'\n            - type: 'null'\n", "            - $ref: '#/components/schemas/BerthId'\n            - type: integer\n", "neighbour_id:", "BerthUpdate.neighbour_id has anyOf"),
    Case("schema.examples", OPENAPI, "          examples: [berth]\n", "          examples: [pier]\n", "object:", "the example 'pier' is not valid"),
    Case("schema.enum", OPENAPI, "        free: Nobody holds it.\n", "", "BerthStatus:", "differ in free"),
    Case("schema.required", OPENAPI, "      required: [ends_at]\n", "      required: [end]\n", "BerthReservation:", "requires end"),
    Case("schema.id", OPENAPI, "^ber_[0-7][0-9A-HJKMNP-TV-Z]{25}$", "^ber_[0-9A-HJKMNP-TV-Z]{26}$", "BerthId:", "has the pattern"),
    Case("schema.sensitive", OPENAPI, EMAIL + "          x-sensitive: pii\n        reservation", EMAIL + "        reservation", "contact_email:", "Berth.contact_email is a Email"),
    Case("schema.shared", OPENAPI, "        contact_email:\n          $ref: '../common/schemas.yaml#/Email'\n          description: Where the berth's keeper is reached.\n          x-sensitive: pii\n        reservation", "        email:\n          type: string\n          description: Where the berth's keeper is reached.\n          x-sensitive: pii\n        reservation", "email:", "common/schemas.yaml#/Email"),
    Case("schema.twice", OPENAPI, "    BerthPage:\n", "    BerthText:\n      type: object\n      description: A copy of a common schema.\n      additionalProperties: false\n      required: [field, operator, value]\n      properties:\n        field: {$ref: '../common/schemas.yaml#/FieldName'}\n        operator:\n          type: string\n          description: Where the text may stand.\n          enum: [contains, starts_with]\n          x-enum-descriptions:\n            contains: Anywhere in the field.\n            starts_with: At the field's beginning.\n          examples: [contains]\n        value:\n          type: string\n          description: The text to look for, taken literally.\n          minLength: 1\n          maxLength: 200\n          pattern: ^[^\\u0000-\\u001f\\u007f]+$\n          examples: [harbour]\n    BerthPage:\n", "BerthText:", "is TextFilter under another name"),
    # responses
    Case("responses.minimum", OPENAPI, "        '204':\n          description: The berth is deleted.\n        '400': {$ref: '../common/responses.yaml#/BadRequest'}\n", "        '204':\n          description: The berth is deleted.\n", "delete:", "deleteBerth lacks 400"),
    Case("responses.surplus", OPENAPI, "        '200': {$ref: '../common/health.yaml#/Live'}\n", "        '200': {$ref: '../common/health.yaml#/Live'}\n        '401': {$ref: '../common/responses.yaml#/Unauthorized'}\n", "get:", "getBerthsLiveness is open and lists 401"),
    Case("responses.shared", OPENAPI, "        '304': {$ref: '../common/responses.yaml#/NotModified'}\n        '400': {$ref: '../common/responses.yaml#/BadRequest'}", "        '304': {$ref: '../common/responses.yaml#/NotModified'}\n        '400': {$ref: '../common/responses.yaml#/Conflict'}", "'400':", "getBerth: 400 is Conflict"),
    Case("responses.success", OPENAPI, "          description: The berth is deleted.\n", "          description: Gone.\n", "'204':", "204 has no description"),
    Case("responses.headers", OPENAPI, LIST_HEADERS, LIST_HEADERS + "            RateLimit: {$ref: '../common/headers.yaml#/RateLimit'}\n", "RateLimit:", "listBerths repeats RateLimit"),
    Case("responses.idempotency", OPENAPI, "          description: The berth, which is back.\n          headers:\n            ETag: {$ref: '../common/headers.yaml#/ETag'}\n            Idempotency-Replayed: {$ref: '../common/headers.yaml#/Idempotency-Replayed'}\n", "          description: The berth, which is back.\n          headers:\n            ETag: {$ref: '../common/headers.yaml#/ETag'}\n", "'200':", "restoreBerth: 200 has no Idempotency-Replayed"),
    # resources
    Case("resource.properties", OPENAPI, "      required: [id, object]\n", "      required: [id, object, name]\n", "Berth:", "must require id and object alone"),
    Case("resource.write-schemas", OPENAPI, UPDATE_SCHEMA + "      additionalProperties: false\n      minProperties: 1\n", UPDATE_SCHEMA + "      additionalProperties: false\n", "BerthUpdate:", "is a merge patch"),
    Case("resource.path", OPENAPI, "        owner: owner_id\n", "        owner: keeper_id\n", "x-resource:", "Berth has no keeper_id"),
    Case("resource.restore", OPENAPI, "  /berths/{berth_id}/restore:", "  /berths/{berth_id}/revive:", "x-resource:", "never restored"),
    Case("rules.fields", OPENAPI, "          fields: [name]\n", "          fields: [label]\n", "id: name-unique", "names label"),
    Case("rules.error", OPENAPI, "          error: berth_name_taken\n", "          error: berth_name_gone\n", "id: name-unique", "answers berth_name_gone"),
    Case("rules.values", OPENAPI, "initial: [free, occupied]", "initial: [free, sunk]", "id: status-path", "'sunk'"),
    Case("rules.reference", OPENAPI, "          field: owner_id\n          target: users\n", "          field: created_by\n          target: users\n", "owner_id:", "BerthCreate.owner_id leads to a record"),
    Case("query.fields", OPENAPI, "        is_covered: {operators: [eq]}", "        is_covered: {operators: [eq, contains]}", "is_covered:", "is_covered is no text"),
    Case("query.parameters", OPENAPI, "        status: {operators: [eq, ne, in, not_in]}\n", "", "BerthStatusFilter:", "listBerths takes status"),
    # events
    Case("asyncapi.schema", ASYNCAPI, "    title: Berths\n    summary: What happens to berths\n", "    title: Berths\n", "berths:", "summary"),
    Case("asyncapi.references", ASYNCAPI, "      BerthRestored: {$ref: '#/components/messages/BerthRestored'}\n", "      BerthRestored: {name: crm.berth.restored.v1}\n", "BerthRestored:", "is written in place"),
    Case("event.name", ASYNCAPI, "            type: {const: crm.berth.deleted.v1}", "            type: {const: crm.berth.removed.v1}", "BerthDeletedEvent:", "says type crm.berth.removed.v1"),
    Case("event.payload", ASYNCAPI, "      description: A berth was deleted.\n      allOf:\n        - $ref: '../common/cloudevent.yaml#/CloudEvent'\n", "      description: A berth was deleted.\n      allOf:\n", "BerthDeletedEvent:", "has no datacontenttype"),
    Case("event.declared", MANIFEST, "crm.berth.deleted.v1, crm.berth.restored.v1]", "crm.berth.deleted.v1]", "BerthRestored:", "service.yaml doesn't emit it", ASYNCAPI),
    Case(
        *("event.channel", ASYNCAPI, "      - $ref: '#/channels/berths/messages/BerthRestored'\n", "", "BerthRestored:", "is sent by no operation"),
    ),
    Case("event.expected", OPENAPI, "      x-events: [crm.berth.created.v1]\n", "", "post:", "createBerth changes a record and emits nothing"),
    Case("event.summary", ASYNCAPI, "      summary: A berth was created.\n", "      summary: Sent when a berth is created.\n", "BerthCreated:", "say in the past tense"),
    # manifests
    Case("manifest.schema", MANIFEST, "    retryable: false\n  berth_not_free:", "    retryable: no\n  berth_not_free:", "retryable: no", "retryable"),
    Case("manifest.slug", MANIFEST, "slug: berths\n", "slug: piers\n", "slug: piers", "'piers' in the folder berths"),
    Case("charter.facets", MANIFEST, "  REQ-1.1-reservation:\n", "  REQ-1.1-parking:\n", "charter:", "nothing for REQ-1.1-reservation"),
    Case("charter.capabilities", MANIFEST, "proof: [reserveBerth/free-one]", "proof: [reserveBerth/any]", "id: hold-berth", "reserveBerth/any"),
    Case("manifest.calls", MANIFEST, "calls: []", "calls:\n  - {service: berths, operation: getBerth, why: To look, mode: required, timeout_ms: 10, retries: 0, fallback: None}", "service: berths", "calls itself"),
    Case("manifest.hears", MANIFEST, "  hears: []", "  hears:\n    - {event: crm.berth.sunk.v1, service: berths, effect: It is gone}", "crm.berth.sunk.v1", "doesn't emit"),
    Case("manifest.cycle", MANIFEST, "calls: []", "calls:\n  - {service: berths, operation: getBerth, why: To look, mode: required, timeout_ms: 10, retries: 0, fallback: None}", "service: berths", "make one edge degradable"),
    Case("manifest.names", MANIFEST, "    changes: [reserveBerth]\n", "    changes: [parkBerth]\n", "variable: BERTHS", "changes parkBerth"),
    Case("manifest.sensitive", MANIFEST, "    sensitive: [pii]\n", "", "stores:", "holds pii"),
    # exchanges
    Case("exchange.schema", EXAMPLES, "    summary: Get a berth\n", "    sumary: Get a berth\n", "one:", "sumary"),
    Case("hostile.schema", HOSTILE, "operation: getBerth\n", "operation: sinkBerth\n", "id: nobody", "sinkBerth"),
    Case("exchange.copied", EXAMPLES, SEARCHED, COUNTED, "free:", "countBerths/free sends the body of searchBerths/free-and-long"),
    Case("exchange.names", EXAMPLES, "given: [listBerths/first-page]", "given: [listBerths/no-page]", "last-page:", "listBerths/no-page"),
    Case("exchange.placeholders", EXAMPLES, "    given: [searchBerths/first-of-all]\n", "", "next-of-all:", "doesn't run before it"),
    Case("exchange.status", EXAMPLES, "expect: {status: 412,", "expect: {status: 418,", "stale:", "expects 418"),
    Case("exchange.request", EXAMPLES, "      query: {limit: 2}\n", "      query: {limit: 2, colour: red}\n", "first-page:", "sends colour"),
    Case("exchange.body", EXAMPLES, "      body: {name: Dry Dock}\n", "      body: {name: 7}\n", "name-alone:", "/name"),
    Case("vectors.shape", VECTORS, ", why: Digits and spaces stay.", "", "name: digits", "has no why"),
    Case("world.schema", WORLD, "    client: cold-store-office\n", "", "otto:", "client"),
    Case("world.records", WORLD, "length_metres: 18\n", "length_metres: 3\n", "length_metres: 3", "must be at least 5"),
    Case("world.principals", WORLD, "    scopes: [berths.read]\n", "    scopes: [berths.look]\n", "jun:", "berths.look"),
    # coverage
    Case("coverage.success", EXAMPLES, "    expect: {status: 304}", "    expect: {status: 200, '#/name': North Quay 1}", "get:", "getBerth can answer 304", OPENAPI),
    Case("coverage.errors", EXAMPLES, "'#/code': berth_not_free}", "'#/code': conflict}", "post:", "reserveBerth declares berth_not_free and no exchange answers it", OPENAPI),
    Case("coverage.properties", EXAMPLES, "        tags: [tugs]\n", "", "post:", "no exchange of createBerth sends #/tags", OPENAPI),
    Case("coverage.parameters", EXAMPLES, "      headers: {Idempotency-Key: restore-north-quay-1}\n", "", "post:", "no exchange of restoreBerth uses Idempotency-Key", OPENAPI),
    # prose
    Case("prose.summary", OPENAPI, "summary: Count berths", "summary: Counts berths", "post:", "begins with 'Counts'"),
    Case("prose.description", OPENAPI, "        Answers with the number of berths that a search would find, before it is run. It takes", "        This endpoint takes", "post:", "countBerths"),
    Case("prose.words", MANIFEST, "fix: Choose another name,", "fix: Just choose another name,", "fix: Just", "'Just'"),
    Case("prose.placeholder", EXAMPLES, "summary: Rename a berth to a name that is taken", "summary: Rename a berth to foo", "summary: Rename", "'foo'"),
    Case("prose.copied", OPENAPI, "      x-security: Let only those restore who may delete, since restoring shows what was taken out of sight.\n", "      x-security: Demand the scope to delete, which those who only write don't have.\n", "x-security: Demand", "restoreBerth has the x-security of deleteBerth"),
    Case("prose.nouns", OPENAPI, "Answers with the number of berths that a search would find, before it is run. It takes the filters of the search.", "Answers with one berth and its ETag. With `If-None-Match` an unchanged berths is answered by 304 without a body.", "get:", "description of getBerth differs from that of countBerths by nouns"),
    Case("prose.exchange", EXAMPLES, "summary: Get a berth\n", "summary: Get a berth.\n", "one:", "full stop"),
]


@pytest.mark.parametrize("case", CASES, ids=[f"{c.rule}-{i}" for i, c in enumerate(CASES)])
def test_finds_the_change(case: Case, harbour: Path, edit: Callable[[str, str, str], int]) -> None:
    edit(case.file, case.old, case.new)

    found = [f for f in lint(load(harbour)) if f.rule == case.rule and case.says in f.message]

    assert found, f"{case.rule} doesn't fire"
    place = found[0].place
    assert place.document.name == (case.at or case.file)
    line = (harbour / place.document.name).read_text(encoding="utf-8").splitlines()[place.line - 1]
    assert case.on in line


def test_every_rule_has_a_change() -> None:
    assert set(RULES) == {c.rule for c in CASES}


def test_harbour_keeps_every_rule(harbour: Path) -> None:
    assert [str(f) for f in lint(load(harbour))] == []
