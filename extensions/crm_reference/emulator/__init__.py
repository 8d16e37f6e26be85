"""A stateful emulator that behaves as the contract says.

What you POST you can GET, rules bite, limits hold, events leave: :meth:`Engine.handle` is a pure function from request to response
over a world of records. Adapters put it behind ``requests`` (:func:`session`, :func:`mount`), behind HTTP (:mod:`.server`) and into
pytest (a fixture ``crm_emulator``).
"""

from crm_reference.emulator.answers import ContractBreach
from crm_reference.emulator.call import SITE, Call, Context, Reply
from crm_reference.emulator.engine import Engine, Hit, Snapshot
from crm_reference.emulator.messages import Problem, Request, Response
from crm_reference.emulator.registry import Task, computes, derives, enforces, handles, hears, task
from crm_reference.emulator.store import Record, StoreError
from crm_reference.emulator.transport import Session, mount, session

__all__ = [
    "SITE",
    "Call",
    "Context",
    "ContractBreach",
    "Engine",
    "Hit",
    "Problem",
    "Record",
    "Reply",
    "Request",
    "Response",
    "Session",
    "Snapshot",
    "StoreError",
    "Task",
    "computes",
    "derives",
    "enforces",
    "handles",
    "hears",
    "mount",
    "session",
    "task",
]
