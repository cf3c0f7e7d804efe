"""The parts that requests and the search loop share: settings, database, blobs, bell, cache and news."""

from dataclasses import dataclass, field

from service.agent_news import AgentNews
from service.agent_token import AgentToken, keep_agent_token
from service.bell import Bell
from service.data_folder import full_disk
from service.measured_cache import MeasuredCache
from service.migrations.upgrade import upgrade
from service.settings import Settings
from service.store.blobs import Blobs
from service.store.database import Database, sqlite_url


@dataclass(frozen=True)
class Parts:
    """One per process."""

    settings: Settings
    database: Database
    blobs: Blobs
    bell: Bell
    measured: MeasuredCache
    agent_token: AgentToken
    agent_news: AgentNews = field(default_factory=AgentNews)

    @property
    def trouble(self) -> str:
        """What keeps all work from going on, in a line; "" while all is well."""
        return full_disk(self.settings.data_folder) or self.agent_news.trouble


def open_parts(settings: Settings) -> Parts:
    """Open the data folder's database at the newest schema, and its blobs."""
    settings.data_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    database = Database(settings.database_url or sqlite_url(settings.database_file))
    upgrade(database)
    token = keep_agent_token(settings.data_folder)
    return Parts(settings, database, Blobs(settings.blob_folder), Bell(), MeasuredCache(), token)
