"""Who may do what: scopes that tokens are given, and the rights that each has."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum


class Right(StrEnum):
    """What an endpoint asks for."""

    READ = "read"
    SUBMIT = "submit"
    """Submit, change and stop studies and single measurements."""
    MANAGE_DEVICES = "manage devices"
    """Pause, label, profile and quarantine devices; let agents enrol."""
    ADMINISTER = "administer"
    """Make and revoke tokens, read the audit log."""
    WORK = "work"
    """An agent's own work."""


class Scope(StrEnum):
    """What a token may be given."""

    VIEWER = "viewer"
    SUBMITTER = "submitter"
    DEVICE_OWNER = "device-owner"
    ADMIN = "admin"
    AGENT = "agent"


USER_SCOPES = (Scope.VIEWER, Scope.SUBMITTER, Scope.DEVICE_OWNER, Scope.ADMIN)

_RIGHTS = {
    Scope.VIEWER: {Right.READ},
    Scope.SUBMITTER: {Right.READ, Right.SUBMIT},
    Scope.DEVICE_OWNER: {Right.READ, Right.MANAGE_DEVICES},
    Scope.ADMIN: {Right.READ, Right.SUBMIT, Right.MANAGE_DEVICES, Right.ADMINISTER},
    Scope.AGENT: {Right.WORK},
}


@dataclass(frozen=True)
class Principal:
    """Who asks: a token by its name, and what it may. `agent_id` binds an agent's token to that agent."""

    token_id: str
    name: str
    scopes: tuple[str, ...]
    agent_id: str | None = None

    def may(self, right: Right) -> bool:
        """Say whether any of its scopes has a right."""
        return any(right in _RIGHTS[Scope(scope)] for scope in self.scopes)


def scopes_with(right: Right) -> Collection[str]:
    """Name the scopes that have a right."""
    return [scope.value for scope, rights in _RIGHTS.items() if right in rights]
