"""The contract: every document of the project, loaded once into one frozen model.

:func:`load` is the only entrance. It promises that what it returns is syntactically whole (YAML parses, keys are unique, every
``$ref`` leads somewhere) and that each thing knows its file and line. Whether the contract keeps the house style is :mod:`.lint`'s
business.
"""

from crm_reference.contract.build import load
from crm_reference.contract.documents import Document, Library, Node, Place
from crm_reference.contract.example_model import Attack, AttackGroup, Exchange, ExchangeRequest, Principal, Recorded, Vectors
from crm_reference.contract.findings import ContractError, Finding
from crm_reference.contract.manifest_model import Call, Capability, ErrorCode, Hearing, Manifest, Metric, Scope, Setting
from crm_reference.contract.model import (
    Body,
    Contract,
    Event,
    Operation,
    Parameter,
    Policy,
    QueryField,
    Requirement,
    Resource,
    Response,
    Rule,
    Schema,
    Service,
    Tag,
)

__all__ = [
    "Attack",
    "AttackGroup",
    "Body",
    "Call",
    "Capability",
    "Contract",
    "ContractError",
    "Document",
    "ErrorCode",
    "Event",
    "Exchange",
    "ExchangeRequest",
    "Finding",
    "Hearing",
    "Library",
    "Manifest",
    "Metric",
    "Node",
    "Operation",
    "Parameter",
    "Place",
    "Policy",
    "Principal",
    "QueryField",
    "Recorded",
    "Requirement",
    "Resource",
    "Response",
    "Rule",
    "Schema",
    "Scope",
    "Service",
    "Setting",
    "Tag",
    "Vectors",
    "load",
]
