"""Recall scores that were trained on demand, kept so that each pattern is trained once."""

from sqlalchemy.orm import Session

from service.store.database import database_now
from service.store.rows import RecallScoreRow


class RecallScores:
    """Queries about trained recall scores."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def find(self, pattern: str, recipe: str) -> RecallScoreRow | None:
        """Find the score of a pattern trained by a recipe."""
        return self.session.get(RecallScoreRow, (pattern, recipe))

    def keep(self, pattern: str, recipe: str, mean: float, sd: float, seeds: int) -> None:
        """Store a trained score."""
        now = database_now(self.session)
        row = RecallScoreRow(pattern=pattern, recipe=recipe, mean=mean, sd=sd, seeds=seeds, created_at=now)
        self.session.merge(row)
