"""SCIM's description of itself: attributes of users and groups, resource types, what the server offers (RFC 7643, 5 to 8)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

CORE = "urn:ietf:params:scim:schemas:core:2.0:"
USER, GROUP = CORE + "User", CORE + "Group"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
MESSAGE = "urn:ietf:params:scim:api:messages:2.0:"
LIST, SEARCH, PATCH_OP = MESSAGE + "ListResponse", MESSAGE + "SearchRequest", MESSAGE + "PatchOp"
BULK_REQUEST, BULK_RESPONSE = MESSAGE + "BulkRequest", MESSAGE + "BulkResponse"

#: How many resources a page holds at most, and how many operations a bulk request.
MAX_RESULTS, MAX_OPERATIONS, MAX_BYTES = 100, 100, 4_194_304

Attribute = Mapping[str, Any]


def _attribute(name: str, description: str, /, type: str = "string", **said: Any) -> dict[str, Any]:
    """Return one attribute's characteristics (RFC 7643, section 7), those of most attributes filled in."""
    subs = said.pop("subAttributes", None)
    found: dict[str, Any] = {"name": name, "type": type, "multiValued": False, "description": description, "required": False}
    if type in ("string", "reference"):
        found |= {"caseExact": False, "uniqueness": "none"}
    found |= {"mutability": "readWrite", "returned": "default", **said}
    return found | ({"subAttributes": subs} if subs else {})


_EXACT: dict[str, Any] = {"caseExact": True}
_TYPES: dict[str, Any] = {"canonicalValues": ["work", "home", "other"]}

_USER = [
    _attribute("userName", "Identifier by which the person signs in; unique in the tenant.", required=True, uniqueness="server"),
    _attribute(
        "name",
        "The parts of the person's name.",
        "complex",
        subAttributes=[_attribute("familyName", "Family name."), _attribute("givenName", "Given name.")],
    ),
    _attribute("displayName", "Name as it is shown to others."),
    _attribute("title", "Position in the company."),
    _attribute(
        "preferredLanguage", "Language in which the platform speaks to the person.", canonicalValues=["en-GB", "de", "nl", "nb"]
    ),
    _attribute("timezone", "Time zone by its IANA name.", canonicalValues=["Europe/Amsterdam", "Europe/Oslo", "UTC"]),
    _attribute("active", "Whether the person may sign in.", "boolean"),
    _attribute(
        "emails",
        "E-mail addresses; the platform writes to the primary one.",
        "complex",
        multiValued=True,
        required=True,
        subAttributes=[
            _attribute("value", "The address.", required=True),
            _attribute("type", "Which address it is.", **_TYPES),
            _attribute("primary", "Whether it is the one to write to.", "boolean"),
        ],
    ),
    _attribute(
        "phoneNumbers",
        "Telephone numbers; those in E.164 are shown to colleagues.",
        "complex",
        multiValued=True,
        subAttributes=[
            _attribute("value", "The number.", required=True),
            _attribute("type", "Which number it is.", canonicalValues=["work", "mobile", "other"]),
            _attribute("primary", "Whether it is the first one to call.", "boolean"),
        ],
    ),
    _attribute(
        "groups",
        "The groups that the person is in.",
        "complex",
        multiValued=True,
        mutability="readOnly",
        subAttributes=[
            _attribute("value", "ID of the group.", mutability="readOnly", **_EXACT),
            _attribute("$ref", "URL of the group.", "reference", mutability="readOnly", referenceTypes=["Group"], **_EXACT),
            _attribute("display", "Name of the group.", mutability="readOnly"),
            _attribute("type", "Direct or through another group.", mutability="readOnly", canonicalValues=["direct", "indirect"]),
        ],
    ),
]

_ENTERPRISE = [
    _attribute("employeeNumber", "Number that human resources gave; unique in the tenant.", uniqueness="server"),
    _attribute("costCenter", "Cost centre that pays for the seat."),
    _attribute("division", "Part of the group to which the department belongs."),
    _attribute("department", "Part of the company in which the person works."),
    _attribute(
        "manager",
        "The person to whom this one reports.",
        "complex",
        subAttributes=[
            _attribute("value", "ID of the manager.", **_EXACT),
            _attribute("$ref", "URL of the manager.", "reference", referenceTypes=["User"], **_EXACT),
        ],
    ),
]

_GROUP = [
    _attribute("displayName", "Name of the group; unique in the tenant.", required=True, uniqueness="server"),
    _attribute(
        "members",
        "People and groups in the group.",
        "complex",
        multiValued=True,
        subAttributes=[
            _attribute("value", "ID of the member.", mutability="immutable", **_EXACT),
            _attribute(
                "$ref", "URL of the member.", "reference", mutability="immutable", referenceTypes=["User", "Group"], **_EXACT
            ),
            _attribute("type", "What the member is.", mutability="immutable", canonicalValues=["User", "Group"]),
        ],
    ),
]

#: What every resource has, though no schema document names it (RFC 7643, section 3.1).
COMMON: tuple[Attribute, ...] = (
    _attribute("id", "ID that the server gave.", mutability="readOnly", returned="always", caseExact=True),
    _attribute("externalId", "ID that the directory gave.", caseExact=True),
    _attribute("schemas", "URNs of the schemas.", multiValued=True, returned="always", caseExact=True),
    _attribute(
        "meta",
        "What the server knows of the resource.",
        "complex",
        mutability="readOnly",
        subAttributes=[
            _attribute("resourceType", "Kind of the resource.", mutability="readOnly", caseExact=True),
            _attribute("created", "When it was created.", "dateTime", mutability="readOnly"),
            _attribute("lastModified", "When it was last changed.", "dateTime", mutability="readOnly"),
            _attribute("location", "URL of the resource.", mutability="readOnly", caseExact=True),
            _attribute("version", "Entity tag of the resource.", mutability="readOnly", caseExact=True),
        ],
    ),
)

_SCHEMAS: dict[str, tuple[str, str, list[dict[str, Any]]]] = {
    USER: ("User", "A person who works with the CRM.", _USER),
    ENTERPRISE: ("EnterpriseUser", "The person's place in the company.", _ENTERPRISE),
    GROUP: ("Group", "People and groups to whom roles are given.", _GROUP),
}

#: Names of the resource types, with their endpoint, schema and extensions.
RESOURCE_TYPES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "User": ("/Users", USER, (ENTERPRISE,)),
    "Group": ("/Groups", GROUP, ()),
}


def attributes(kind: str, /) -> dict[str, tuple[Attribute, ...]]:
    """Return the attributes of a resource type by schema URN; common ones stand with its core schema.

    :param kind: ``User`` or ``Group``.
    """
    _, core, extensions = RESOURCE_TYPES[kind]
    return {urn: (*(COMMON if urn == core else ()), *_SCHEMAS[urn][2]) for urn in (core, *extensions)}


def find(kind: str, urn: str, name: str, /) -> Attribute | None:
    """Return an attribute by its name, whatever the case of its letters; without a URN the core schema is meant."""
    known = attributes(kind)
    for schema, listed in known.items():
        if urn.lower() in ("", schema.lower()) and (urn or schema == RESOURCE_TYPES[kind][1]):
            for attribute in listed:
                if attribute["name"].lower() == name.lower():
                    return attribute
    return None


def sub(attribute: Attribute, name: str, /) -> Attribute | None:
    """Return a sub-attribute by its name, whatever the case of its letters."""
    for found in attribute.get("subAttributes", ()):
        if found["name"].lower() == name.lower():
            inner: Attribute = found
            return inner
    return None


# -- documents of the discovery endpoints ----------------------------------------------------------------------------


def _meta(base: str, kind: str, path: str) -> dict[str, str]:
    return {"resourceType": kind, "location": f"{base}/{path}"}


def schemas(base: str, /) -> Iterator[dict[str, Any]]:
    """Yield the schema documents, the descriptions of the discovery documents among them (RFC 7643, section 8.7).

    :param base: URL of the SCIM root.
    """
    for urn, (name, text, listed) in (_SCHEMAS | _SERVICE).items():
        body = {"schemas": [CORE + "Schema"], "id": urn, "name": name, "description": text, "attributes": listed}
        yield body | {"meta": _meta(base, "Schema", f"Schemas/{urn}")}


def resource_types(base: str, /) -> Iterator[dict[str, Any]]:
    """Yield the resource type documents."""
    for name, (endpoint, urn, extensions) in RESOURCE_TYPES.items():
        body: dict[str, Any] = {"schemas": [CORE + "ResourceType"], "id": name, "name": name, "endpoint": endpoint}
        body |= {"description": _SCHEMAS[urn][1], "schema": urn}
        if extensions:
            body["schemaExtensions"] = [{"schema": extension, "required": False} for extension in extensions]
        yield body | {"meta": _meta(base, "ResourceType", f"ResourceTypes/{name}")}


def service_provider_config(base: str, /) -> dict[str, Any]:
    """Return what the server offers (RFC 7643, section 5)."""
    return {
        "schemas": [CORE + "ServiceProviderConfig"],
        "documentationUri": "https://docs.crm.example/services/users/scim",
        "patch": {"supported": True},
        "bulk": {"supported": True, "maxOperations": MAX_OPERATIONS, "maxPayloadSize": MAX_BYTES},
        "filter": {"supported": True, "maxResults": MAX_RESULTS},
        "changePassword": {"supported": False},
        "sort": {"supported": True},
        "etag": {"supported": True},
        "authenticationSchemes": [
            {
                "type": "oauthbearertoken",
                "name": "OAuth 2 bearer token",
                "description": "An access token with the scope users.scim.",
                "specUri": "https://www.rfc-editor.org/info/rfc6750",
                "documentationUri": "https://docs.crm.example/guides/authentication",
                "primary": True,
            }
        ],
        "meta": _meta(base, "ServiceProviderConfig", "ServiceProviderConfig"),
    }


_READ: dict[str, Any] = {"mutability": "readOnly"}


def _feature(name: str, text: str, /, *more: dict[str, Any]) -> dict[str, Any]:
    supported = _attribute("supported", "Whether it is offered.", "boolean", required=True, **_READ)
    return _attribute(name, text, "complex", required=True, subAttributes=[supported, *more], **_READ)


def _number(name: str, text: str) -> dict[str, Any]:
    return _attribute(name, text, "integer", required=True, **_READ)


#: Attributes of the discovery documents themselves, which clients ask for too.
_SERVICE: dict[str, tuple[str, str, list[dict[str, Any]]]] = {
    CORE + "ServiceProviderConfig": (
        "ServiceProviderConfig",
        "What the server offers.",
        [
            _attribute("documentationUri", "Where to read on.", "reference", referenceTypes=["external"], **_READ, **_EXACT),
            _feature("patch", "Partial changes."),
            _feature(
                "bulk",
                "Many operations in one request.",
                _number("maxOperations", "Most operations of a request."),
                _number("maxPayloadSize", "Most bytes of a request."),
            ),
            _feature("filter", "Filters.", _number("maxResults", "Most resources of a page.")),
            _feature("changePassword", "Changing passwords."),
            _feature("sort", "Sorting."),
            _feature("etag", "Entity tags."),
            _attribute(
                "authenticationSchemes",
                "How to authenticate.",
                "complex",
                multiValued=True,
                required=True,
                subAttributes=[
                    _attribute("type", "Kind of the scheme.", required=True, **_READ),
                    _attribute("name", "Name of the scheme.", required=True, **_READ),
                    _attribute("description", "What to send.", required=True, **_READ),
                    _attribute("specUri", "Its standard.", "reference", referenceTypes=["external"], **_READ, **_EXACT),
                    _attribute(
                        "documentationUri", "Where to read on.", "reference", referenceTypes=["external"], **_READ, **_EXACT
                    ),
                    _attribute("primary", "Whether it is the first choice.", "boolean", **_READ),
                ],
                **_READ,
            ),
        ],
    ),
    CORE + "ResourceType": (
        "ResourceType",
        "A kind of resource.",
        [
            _attribute("name", "Name of the kind.", required=True, **_READ, **_EXACT),
            _attribute("description", "What it is.", **_READ),
            _attribute("endpoint", "Path below the root.", "reference", required=True, referenceTypes=["uri"], **_READ, **_EXACT),
            _attribute("schema", "URN of its schema.", "reference", required=True, referenceTypes=["uri"], **_READ, **_EXACT),
            _attribute(
                "schemaExtensions",
                "Schemas that extend it.",
                "complex",
                multiValued=True,
                subAttributes=[
                    _attribute(
                        "schema", "URN of the extension.", "reference", required=True, referenceTypes=["uri"], **_READ, **_EXACT
                    ),
                    _attribute("required", "Whether every resource has it.", "boolean", required=True, **_READ),
                ],
                **_READ,
            ),
        ],
    ),
    CORE + "Schema": (
        "Schema",
        "Attributes of a kind of resource.",
        [
            _attribute("name", "Name of the schema.", required=True, **_READ),
            _attribute("description", "What it describes.", **_READ),
            _attribute(
                "attributes",
                "The attributes, with their characteristics.",
                "complex",
                multiValued=True,
                required=True,
                subAttributes=[
                    _attribute("name", "Name of the attribute.", required=True, **_READ, **_EXACT),
                    _attribute("type", "Type of its value.", required=True, **_READ),
                    _attribute("multiValued", "Whether it has several values.", "boolean", required=True, **_READ),
                    _attribute("description", "What it means.", **_READ),
                    _attribute("required", "Whether it must be sent.", "boolean", **_READ),
                    _attribute("mutability", "Who may set it.", **_READ, **_EXACT),
                    _attribute("returned", "When it is returned.", **_READ, **_EXACT),
                    _attribute("uniqueness", "Where it must be unique.", **_READ, **_EXACT),
                ],
                **_READ,
            ),
        ],
    ),
}
