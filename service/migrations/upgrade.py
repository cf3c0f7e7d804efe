"""Bring a database to the newest schema."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from service.errors import StartRefused
from service.store.database import Database


def migration_config() -> Config:
    """Point alembic at the migrations beside this module, wherever the package is installed."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config


def upgrade(database: Database) -> None:
    """Run every migration that is missing, in one transaction.

    Raises StartRefused where the database can't be read, or was written by a newer version.
    """
    try:
        with database.write() as session:
            config = migration_config()
            config.attributes["connection"] = session.connection()
            command.upgrade(config, "head")
    except DBAPIError as error:
        raise _refused(database, f"the database can't be used: {error.orig}") from None
    except CommandError as error:
        raise _refused(
            database, f"the database has a schema that this version doesn't know ({error})"
        ) from None


def _refused(database: Database, detail: str) -> StartRefused:
    is_file = database.engine.dialect.name == "sqlite"
    return StartRefused(
        detail,
        field=str(database.engine.url.database) if is_file else database.words,
        hint="restore it from a copy, move it away to begin anew, or choose another --data-folder"
        if is_file
        else "mend it, or choose another LOOPFRONT_DATABASE_URL",
        code="database-unusable",
    )
