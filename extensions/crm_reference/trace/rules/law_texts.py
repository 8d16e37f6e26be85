"""What each law does, word for word as the requirement pages print it.

*The model exchange* of an operation is :func:`crm_reference.trace.subjects.model_exchange`: of its exchanges that succeed and
are computed, the one with the most members. *To run an exchange* is to reset the world, to do what stands in its ``given``, and
to send its request. *Accepted* is a declared success status. *Refused with X* is a problem whose ``code`` is X. State is
compared over all collections of the store; those of idempotency keys, quotas and logs don't count.
"""

from __future__ import annotations

from collections.abc import Mapping

#: Law to its text.
TEXTS: Mapping[str, str] = {
    "minimal-body": (
        "Reduce the model exchange's body to the required members, at every depth, and send it: it is accepted. Where a "
        "`required-if` rule of the resource refuses it, put back the members that the problem's pointers name, and only "
        "those."
    ),
    "required-absent": (
        "Send the model exchange's body without the one member: 422, with an entry of `errors` that has the member's "
        "pointer and the code `required`; the state is as before. An item of a batch is refused by itself: 207, with that 422 as "
        "its result; only where the batch is `atomic` the whole is 422."
    ),
    "failure-changes-nothing": (
        "Do what the exchange's `given` says, take the state, send its request: the answer has the expected status, the "
        "state is the same, and the outbox has no new event."
    ),
    "declared-status": (
        "Over everything that laws and exchanges sent to the operation, each status that came is one of its responses, "
        "and each answer's media type and body are what that response declares."
    ),
    "injected-fault": (
        "Send the model exchange (any exchange where there is none) while the store fails: 500 `internal_error`; while "
        "the store is down: 503 `unavailable` with `Retry-After`. Both bodies are problems and nothing has changed. "
        "Liveness stays 200."
    ),
    "retry": (
        "Run the failing exchange, then end what made it fail if that passes by itself (wait as `Retry-After` says, lift "
        "the fault), and send the same request again: where its code is `retryable: true` it is accepted, where false the "
        "same code comes."
    ),
    "no-token": (
        "Send any of the operation's exchanges without Authorization: 401 `missing_token` with `WWW-Authenticate: "
        "Bearer`, and nothing has changed."
    ),
    "expired-token": (
        "Send it with a token that expired a second ago, with one signed by another key, and with `alg: none`: each is "
        '401 `invalid_token` with `WWW-Authenticate` naming `error="invalid_token"`.'
    ),
    "other-scopes": (
        "Send it with a token that has every scope of the contract but the operation's own: 403 `insufficient_scope`, "
        "`required_scopes` names them, and nothing has changed."
    ),
    "public-without-token": (
        "Send the operation's first exchange that succeeds without Authorization: it is accepted. With a broken token too."
    ),
    "hostile-id": (
        "Put into each record ID of the path: an ID of the right form that no record has, one with another prefix, 10,000 "
        "characters, `..%2F..%2Fetc`, `'%20OR%201=1--`, a NUL. Each answer is 400 or 404, is a problem, doesn't repeat "
        "more than 200 characters of the input, and nothing has changed. Then the ID of a record that a principal with "
        "`sees: own` doesn't own: 404 `not_found`."
    ),
    "hostile-read-only": (
        "Add to the model exchange's body, one at a time: `id`, `tenant_id`, `created_at`, `created_by`, `version`, and "
        "each readOnly property of the resource: 422 `read_only` or `unknown_field` at its pointer, and nothing has "
        "changed."
    ),
    "hostile-url": (
        "Set the property to a URL with the scheme `http` or `file`, and with the hosts 127.0.0.1, [::1], "
        "169.254.169.254, 10.0.0.1, localhost, and user information in front: each is 422 at its pointer, and nothing was "
        "fetched."
    ),
    "hostile-file": (
        "Send the EICAR test file, a file whose content contradicts its media type, and one byte over the limit: each is "
        "refused or put in quarantine as the operation says, and never given out."
    ),
    "rate-limit": (
        "Use up the quota of the operation's policy class (N requests of one client, of which the world may count N-1 as "
        "sent): call N is not 429, call N+1 is 429 `rate_limited` with `Retry-After`, another client isn't limited; after "
        "that many seconds of the world's clock it succeeds. `RateLimit` counts down on the way."
    ),
    "pages-walk": (
        "Fill the list with seven records or more, walk it with the smallest and with the largest `limit` by "
        "`next_cursor` until `has_more` is false: each walk gives every record that the whole list has, once, in the same "
        "order; each page has `Link` where there is a next one; a cursor with another filter or sort is 400 "
        "`invalid_cursor`."
    ),
    "pages-while-writing": (
        "Walk with `limit=2` and, between pages, create one record, change one and delete one: every record that was "
        "there from the first page to the last stands in exactly one page, and none twice."
    ),
    "payload-limit": (
        "Send a body of exactly the policy's limit in bytes (padded with white space): not 413. One byte more: 413 "
        "`content_too_large`, and nothing has changed."
    ),
    "timeout": (
        "For one operation of the class, delay the store by a second more than `timeout_seconds`: 503 `timeout`, and "
        "nothing has changed; by a second less: the usual answer."
    ),
    "own-writes": (
        "Run all exchanges of the service and read the store's log of writes: each is to a collection whose resource the "
        "service declares, or was made by a call to the owner's operation."
    ),
    "call-seen": (
        "Run the exchanges of the operations in the call's `used_by`: the log of calls between services has this one, and "
        "no call of this service that its manifest doesn't name."
    ),
    "dependency-down": (
        "Take the neighbour (or the database) down and send an exchange of each operation in `used_by` (any write for the "
        "database): mode `required` answers 503 `unavailable`; `degradable` is accepted, and the answer shows the "
        "fallback; `async` is accepted, and the work is done after the neighbour is back."
    ),
    "deployment-files": (
        "The compose file and the Kubernetes manifests that the bundle generates for the service validate against their "
        "schemas, set every required variable, and their probes are paths that answer 200 here."
    ),
    "hearing-matters": (
        "Run an exchange of the operation in `seen_by` that has the event in its `given`, once with the delivery and once "
        "without: the two answers differ where the exchange's `expect` looks."
    ),
    "duplicate-delivery": "Deliver the event, take the state, deliver it again with the same `id`: the state is the same.",
    "reordered-delivery": (
        "Deliver two events of one subject with `sequence` 1 and 2 in order, and in a fresh world the other way round: "
        "both end in the same state."
    ),
    "readiness-turns": (
        "Take the dependency down. If its mode is `required` (the database is), readiness is 503 and `failing` names it; "
        "else it is 200. The health report shows it `down` and the service `down` or `degraded`. Bring it back: readiness "
        "is 200."
    ),
    "liveness-stays": "Take the dependency down: liveness is 200 with status `up`, and answers within its policy's latency target.",
    "metrics-parse": (
        "Read the metrics: prometheus_client's OpenMetrics parser takes them, they end in `# EOF`, every metric of the "
        "manifest is there with its type, unit and help, and there is none that the manifest doesn't name."
    ),
    "metric-moves": (
        "Read the metric, run a successful exchange of an operation in `moves_with`, or where it has `statuses` one that ends with "
        "one of them, read it again (an age a second later): a value has changed, and a counter never falls."
    ),
    "wrong-type": (
        "Replace the member of the model exchange's body by a value of every JSON type that its schema doesn't admit: "
        "422, with its pointer and `wrong_type`; nothing has changed."
    ),
    "null-value": (
        "Replace the member by null. Where its schema admits null (merge-patch) it is accepted and the property is gone; "
        "elsewhere 422 at its pointer."
    ),
    "inside-bounds": (
        "Replace the member by values on and just inside each bound, by each member of an enumeration, and by generated "
        "matches of a pattern: no answer has an entry at its pointer with a code of the schema's (business rules may "
        "refuse it otherwise)."
    ),
    "outside-bounds": (
        "Replace it by values just outside each bound, pattern, format and enumeration: 422 at its pointer with the code "
        "of that keyword (`too_short`, `too_long`, `out_of_range`, `invalid_format`, `invalid_choice`, `not_unique`)."
    ),
    "rule-removed": (
        "Make a contract without the one business rule and replay the exchanges that raise its error on the resource: one "
        "at least no longer gets its expected answer."
    ),
    "dangling-reference": (
        "Take the model exchange of an operation that writes the field, set it to an ID of the target's form that no "
        "record has, then to one of another tenant: each is refused with the rule's error or `invalid_reference` at its "
        "pointer."
    ),
    "on-delete": (
        "Make a record that refers to another, delete that one: `restrict` refuses the deletion with 409; `clear` leaves "
        "the record without the field; `cascade` takes it along; `keep` leaves it as it was."
    ),
    "custom-field-values": (
        "For each field type that custom-objects offers, define a field for the resource, write a valid value and read it "
        "back, write an invalid one: 422 at `#/custom_fields/name`."
    ),
    "custom-field-changed": (
        "Write a value, then narrow the definition, then delete it: the record stays readable; writing the old value is "
        "refused after each change; the deleted field is no longer in answers."
    ),
    "custom-field-query": (
        "Define a field, write different values to two records: a search filters and sorts by it, and its describe "
        "operation lists it with its operators."
    ),
    "custom-field-transfer": (
        "Export the two records and import the file into an empty tenant with the same definition: the values are the same."
    ),
    "tenant-path": (
        "With the second tenant's administrator, send the operation with IDs of the first tenant's records in its path: "
        "the answer equals, request ID and times apart, the one to an ID that no record has; nothing has changed."
    ),
    "tenant-body": (
        "Subject: `operationId #/pointer` of each member whose pattern is an ID's, batch slots included. Set it to the "
        "other tenant's ID: the answer (or the slot's) equals the one to an ID that no record has."
    ),
    "tenant-query": (
        "Subject: `operationId name` of each query parameter and filter that takes an ID. The other tenant's ID gives the "
        "same as an ID that no record has."
    ),
    "tenant-cursor": (
        "Take a cursor of one tenant's walk and send it with the other tenant's token: 400 `invalid_cursor`; and a walk "
        "of the second tenant has no record of the first."
    ),
    "secret-hidden": (
        "Write a known random value into the secret, run all exchanges of the service after it: the value stands in no "
        "answer (the one that first gives it out apart), no event, no export and no line of the log."
    ),
    "pii-masked": (
        "Read the resource with the scope that `x-masked` names and without it: the value stands in the first answer and "
        "not in the second, nor in its search hits; it stands in no line of the log. Where the property has no "
        "`x-masked`, the log alone counts."
    ),
    "baseline-exchange": (
        "Subject: an exchange of the committed baseline bundle. Sent to today's emulator, its expectation holds, and the "
        "answer validates against the baseline's response."
    ),
    "webhook-delivered": (
        "Subscribe an endpoint to the event, do what emits it: one delivery comes, its signature verifies with the "
        "Standard Webhooks library, its payload validates; after unsubscribing none comes."
    ),
    "webhook-retried": (
        "Subject: a status or failure (500, 429, timeout, refused). The attempt is repeated at the documented instants, "
        "then given up."
    ),
    "webhook-deduplicated": (
        "Subject: a delivery sent twice. Both carry the same `webhook-id`, and the documented receiver acts once."
    ),
    "webhook-disabled": (
        "Subject: the disabling rule. After the documented run of failures the endpoint is disabled, its owner told, and "
        "nothing more sent."
    ),
    "webhook-replayed": (
        "Subject: replay of one delivery, and of a span of time. The events come again with their old `webhook-id`."
    ),
    "webhook-secrets-overlap": (
        "Subject: rotation. Until the overlap ends deliveries verify with the old and the new secret; after it with the "
        "new one only."
    ),
    "credential-lifecycle": (
        "Subject: a kind of credential (authorization code, client credentials, API key ...). Connect, refresh, let "
        "expire, revoke: each step's calls answer as documented, and a revoked credential is 401 at once."
    ),
    "mirror": (
        "Copy the list, then make 200 random writes (creations, changes, deletions, merges, restores; fixed seed) while "
        "following the change feed from the copy's cursor: the mirror equals the list, and the feed's sequence has no "
        "gap."
    ),
    "conflict-strategy": (
        "Subject: a strategy. The same conflict on both sides ends as that strategy documents, and is listed with both values."
    ),
    "app-lifecycle": (
        "Subject: a step (draft, submit, review, publish, upgrade, retire). It does what is documented, and is refused "
        "out of order."
    ),
    "app-new-scope": (
        "Subject: an upgrade that asks for more. The old version keeps running until an administrator consents; then the "
        "token has the new scope."
    ),
    "installation-scopes": "Subject: an installation. Its token has the granted scopes and no other; a call beyond them is 403.",
    "uninstallation": (
        "Subject: an installation. After it is removed its tokens are 401 and its webhooks silent, and both are read back."
    ),
    "connector-lifecycle": (
        "Subject: a step (test, discover, backfill, run, pause, delete). It is executed, and its effect read back."
    ),
    "mapping-vector": "Subject: a transformation. Every one of its vectors gives the documented output.",
    "mapping-unmapped-target": (
        "Subject: a mapping that leaves out a required target. Its activation is refused and names the target."
    ),
}
