"""Devices that users had remembered: seen by their users alone, trusted for a while, and forgotten with their sessions."""

from __future__ import annotations

from crm_reference.emulator.behaviours import listing, single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.clock import days_later
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.query import Sort
from crm_reference.emulator.registry import handles, sees
from crm_reference.emulator.services.authentication import sessions
from crm_reference.emulator.services.authentication.accounts import DEVICE_UPDATED, DEVICES
from crm_reference.emulator.store import Record

DELETED = "crm.sign_in_device.deleted.v1"


@sees(DEVICES)
def see(context: Context, device: Record) -> bool:
    """Show a device to its user."""
    return bool(device.doc["user_id"] == context.identity.user) or context.is_upkeep


def _present(context: Context, device: Record) -> Record:
    """Return a device without a trust whose time is over."""
    if device.doc["is_trusted"] and device.doc["trust_ends_at"] <= context.now:
        with upkeep(context):
            return context.records.change(device, {"is_trusted": False, "trust_ends_at": None})
    return device


@handles("listSignInDevices")
def list_devices(call: Call) -> Reply:
    """List the caller's devices, the last used first."""
    for device in call.records.find(DEVICES, user_id=call.identity.user, is_trusted=True):
        _present(call, device)
    return listing.list_records(call, (Sort("last_seen_at", True), Sort("id", True)))


@handles("getSignInDevice")
def read_device(call: Call) -> Reply:
    """Return one of the caller's devices."""
    call.record = _present(call, call.found)
    return single.read(call)


@handles("trustSignInDevice")
def trust(call: Call) -> Reply:
    """Trust a device for some days, or no longer."""
    sessions.demand_fresh(call)
    days = call.body["trust_days"]
    patch = {"is_trusted": days > 0, "trust_ends_at": days_later(call.now, days) if days else None}
    return single.shown(call, call.records.change(call.found, patch, event=DEVICE_UPDATED))


@handles("deleteSignInDevice")
def forget(call: Call) -> Reply:
    """Forget a device and end the sessions on it."""
    for session in call.records.find(sessions.SESSIONS, user_id=call.identity.user, device_id=call.found.id, status="active"):
        sessions.end(call, session, "device_forgotten")
    call.records.delete(call.found, event=DELETED)
    return Reply(204)
