"""Quotas: fixed windows for each tenant, client and policy class, and one for failed authentication by address."""

from __future__ import annotations

from dataclasses import dataclass, field

from crm_reference.contract import Policy
from crm_reference.emulator.messages import Problem

#: Failed authentications from one address within a minute, before further ones are refused unread.
MAX_FAILURES = 20
_FAILURE_WINDOW = 60


@dataclass(slots=True)
class Limits:
    """Counts requests by window.

    :param enabled: Whether quotas hold; benchmarks turn them off.
    """

    enabled: bool = True
    _windows: dict[tuple[str, ...], tuple[float, int]] = field(default_factory=dict)

    def check_address(self, address: str, now: float) -> None:
        """Refuse an address that failed to authenticate too often.

        :raises Problem: ``rate_limited`` (429) with Retry-After.
        """
        start, failures = self._windows.get(("address", address), (now, 0))
        if self.enabled and failures >= MAX_FAILURES and now - start < _FAILURE_WINDOW:
            wait = int(start + _FAILURE_WINDOW - now) or 1
            raise Problem(
                "rate_limited",
                f"Too many requests from this address failed to authenticate. Wait {wait} seconds.",
                headers={"Retry-After": str(wait)},
            )

    def note_failure(self, address: str, now: float) -> None:
        """Count a failed authentication."""
        self._count(("address", address), now, _FAILURE_WINDOW)

    def spend(self, policy: Policy, tenant: str, client: str, now: float) -> dict[str, str]:
        """Count a request and return the RateLimit headers.

        :raises Problem: ``rate_limited`` (429) with Retry-After, once the window's quota is used up.
        """
        start, used = self._count((policy.name, tenant, client), now, policy.window_seconds)
        left = int(start + policy.window_seconds - now) or 1
        headers = self.headers(policy, max(0, policy.requests - used), left)
        if self.enabled and used > policy.requests:
            raise Problem(
                "rate_limited",
                f"The quota of {policy.requests} requests in {policy.window_seconds} seconds is used up. Wait {left} seconds.",
                headers={"Retry-After": str(left), **headers},
            )
        return headers

    def use(self, policy: Policy, tenant: str, client: str, requests: int, now: float) -> None:
        """Count requests that were never sent, so that the end of a quota can be looked at."""
        start, used = self._windows.get((policy.name, tenant, client), (now, 0))
        self._windows[policy.name, tenant, client] = (start, used + requests)

    def headers(self, policy: Policy, remaining: int, seconds: int) -> dict[str, str]:
        """Return RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers-10)."""
        return {
            "RateLimit-Policy": f'"{policy.name}";q={policy.requests};w={policy.window_seconds}',
            "RateLimit": f'"{policy.name}";r={remaining};t={seconds}',
        }

    def reset(self) -> None:
        """Begin all windows anew."""
        self._windows.clear()

    def _count(self, key: tuple[str, ...], now: float, seconds: int) -> tuple[float, int]:
        start, used = self._windows.get(key, (now, 0))
        if now - start >= seconds:
            start, used = now, 0
        self._windows[key] = (start, used + 1)
        return start, used + 1
