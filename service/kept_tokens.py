"""Tokens that `loopfront login` keeps for services elsewhere: a file of the user's own, by the service's address."""

import json
import os
from pathlib import Path

from service.errors import BadInput


def tokens_file() -> Path:
    """Where they are kept."""
    return Path.home() / ".config" / "loopfront" / "tokens.json"


def kept_token(address: str) -> str:
    """Read the token for a service; "" where none is kept."""
    return _read().get(_key(address), "")


def keep_token(address: str, token: str) -> None:
    """Keep a token for a service, readable by this user alone; "" forgets it."""
    known = _read()
    known[_key(address)] = token
    content = json.dumps({place: each for place, each in known.items() if each}, indent=1)
    path = tokens_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = path.with_suffix(".writing")
        temporary.unlink(missing_ok=True)
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(content + "\n")
        temporary.replace(path)
    except OSError as error:
        raise BadInput(
            error.strerror or str(error), field=str(path), hint="set LOOPFRONT_TOKEN instead"
        ) from None


def _read() -> dict[str, str]:
    path = tokens_file()
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        raise BadInput("it can't be read", field=str(path), hint="delete it, and log in again") from None
    return {str(place): str(token) for place, token in known.items()} if isinstance(known, dict) else {}


def _key(address: str) -> str:
    return address.rstrip("/").lower()
