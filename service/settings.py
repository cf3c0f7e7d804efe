"""Settings of the service, read from LOOPFRONT_ environment variables."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from service.errors import BadInput

ENVIRONMENT_PREFIX = "LOOPFRONT_"
DEFAULT_PORT = 8765


def default_data_folder() -> Path:
    """Where state lives unless told otherwise: $XDG_DATA_HOME/loopfront, or ~/.local/share/loopfront."""
    base = os.environ.get("XDG_DATA_HOME", "")
    try:
        root = Path(base) if base else Path.home() / ".local" / "share"
    except RuntimeError:
        raise BadInput(
            "this user has no home folder to keep state in",
            field="HOME",
            hint="say where with --data-folder or LOOPFRONT_DATA_FOLDER",
        ) from None
    return root / "loopfront"


def _separated(value: object) -> object:
    return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


class Settings(BaseSettings):
    """One frozen value that every part of the service is built from."""

    model_config = SettingsConfigDict(env_prefix=ENVIRONMENT_PREFIX, frozen=True, extra="ignore")

    data_folder: Path = Field(default_factory=default_data_folder)
    host: str = "127.0.0.1"
    port: int = Field(default=DEFAULT_PORT, ge=0, le=65535)
    lease_seconds: float = Field(default=30.0, ge=0.5, le=3600)
    heartbeat_seconds: float = Field(default=10.0, ge=0.1, le=1200)
    lead_seconds: float = Field(default=15.0, ge=0.5, le=600)
    database_url: str = ""
    blob_store: str = ""
    """Where graphs and samples lie: s3://BUCKET/PREFIX; the data folder where nothing is said."""
    secret_key: str = Field(default="", repr=False)
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    names: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_separated)] = ()
    """Names, with commas between, under which the service is reached, beside `host`: behind a proxy, or by DNS."""
    plain_http: str = ""
    """Words that say that tokens may cross a network unencrypted; see `service.up`."""
    behind_proxy: bool = False
    """A proxy on this machine or network ends TLS, and says for whom in X-Forwarded-For and X-Forwarded-Proto."""
    private_webhooks: bool = False
    """Webhooks may be sent to this machine and its network, and without TLS."""
    body_limit_bytes: int = Field(default=2 * 1024**2, ge=1024)
    result_limit_bytes: int = Field(default=32 * 1024**2, ge=1024)

    @property
    def database_file(self) -> Path:
        """The SQLite file that holds everything, unless `database_url` names another database."""
        return self.data_folder / "loopfront.sqlite"

    @property
    def blob_folder(self) -> Path:
        """Where graphs lie, by digest."""
        return self.data_folder / "blobs"


def load_settings(**overrides: object) -> Settings:
    """Read the environment; `overrides` (command-line options that were given) win."""
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]  # pydantic checks each value
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise BadInput(
            f"{first['msg']} (got {first['input']!r})",
            field=name,
            hint=f"mend the option or the variable {ENVIRONMENT_PREFIX}{name.upper()}",
        ) from None
