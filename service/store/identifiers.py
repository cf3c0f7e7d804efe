"""Make identifiers for stored rows."""

import secrets


def new_id(prefix: str) -> str:
    """Give an unguessable identifier such as ``job_5f0c2b9a41d7e83c``."""
    return f"{prefix}_{secrets.token_hex(8)}"
