"""Secrets in the data folder, each in a file of its owner's alone: the server's key, and tokens of this machine."""

import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from service.errors import StartRefused
from service.token_text import TokenKind, kind_of, new_token

KEY_NAME = "server.key"
OWNER_TOKEN_NAME = "owner.token"
AGENT_TOKEN_NAME = "agent.token"
_KEY_FORM = re.compile(r"[0-9a-f]{64}")
_OLD_AGENT_TOKEN = re.compile(r"lfa_[A-Za-z0-9_-]{20,200}")


@dataclass(frozen=True)
class OwnSecrets:
    """What the data folder holds: the key of hashes, and the tokens of this user's commands and agents."""

    key: bytes
    owner_token: str
    agent_token: str

    def __repr__(self) -> str:
        return "OwnSecrets(...)"


def keep_secrets(data_folder: Path, given_key: str = "") -> OwnSecrets:
    """Read the secrets, made on the first start; raises StartRefused where a file can't be used.

    `given_key` stands for the key's file where several processes with folders of their own share a database.
    """
    return OwnSecrets(
        _key(data_folder / KEY_NAME, given_key),
        _kept_token(data_folder / OWNER_TOKEN_NAME, TokenKind.USER),
        _kept_token(data_folder / AGENT_TOKEN_NAME, TokenKind.AGENT),
    )


def owner_token_path(data_folder: Path) -> Path:
    """Where a service keeps the token of the commands of this user."""
    return data_folder / OWNER_TOKEN_NAME


def agent_token_path(data_folder: Path) -> Path:
    """Where a service keeps the token of the agents of this user on this machine."""
    return data_folder / AGENT_TOKEN_NAME


def read_secret(path: Path) -> str:
    """Read one secret, for whoever owns the data folder."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError as error:
        reason = error.strerror or "it can't be read"
        raise _unusable(path, reason, "start the service once: it makes one") from None


def _key(path: Path, given: str) -> bytes:
    if given:
        if not _KEY_FORM.fullmatch(given):
            raise StartRefused(
                "the server's key can't be used: it is not 64 hexadecimal digits",
                field="LOOPFRONT_SECRET_KEY",
                hint="make one with `openssl rand -hex 32`, and give it to every process",
            )
        return bytes.fromhex(given)
    if not path.exists():
        _write(path, secrets.token_hex(32))
    path.chmod(0o600)
    text = read_secret(path)
    if not _KEY_FORM.fullmatch(text):
        raise _unusable(path, "it holds no key", "restore it from a copy; without it every token is void")
    return bytes.fromhex(text)


def _kept_token(path: Path, kind: TokenKind) -> str:
    if not path.exists():
        _write(path, new_token(kind))
    path.chmod(0o600)
    token = read_secret(path)
    is_of_an_earlier_version = kind is TokenKind.AGENT and _OLD_AGENT_TOKEN.fullmatch(token) is not None
    if kind_of(token) is not kind and not is_of_an_earlier_version:
        raise _unusable(
            path,
            f"it holds no token that begins with {kind}",
            "delete it and start the service: it makes a new one",
        )
    return token


def _write(path: Path, secret: str) -> None:
    """Write the file whole or not at all; nobody else may read it at any moment."""
    temporary = path.with_suffix(".writing")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(secret + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _unusable(path: Path, detail: str, way_out: str) -> StartRefused:
    return StartRefused(f"{path.name} can't be used: {detail}", field=str(path), hint=way_out)
