"""Bring a database to the newest schema."""

from pathlib import Path

from alembic import command
from alembic.config import Config

from service.store.database import Database


def migration_config() -> Config:
    """Point alembic at the migrations beside this module, wherever the package is installed."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config


def upgrade(database: Database) -> None:
    """Run every migration that is missing, in one transaction."""
    config = migration_config()
    with database.write() as session:
        config.attributes["connection"] = session.connection()
        command.upgrade(config, "head")
