"""Score a candidate's quality by the two proxies: recall of its layout, estimated relative loss of its sizes."""

import math
import threading

from devices.quiet import quiet_host
from operators.architecture import Architecture
from operators.cost import parameters
from search.observation import Observation
from search.quality.recall import RecallScore, tabled_score, trained_score
from search.quality.recall_agreement import ALIKE, longer_agreement, seed_agreement
from search.quality.recall_training import RECALL_VERSION
from search.quality.reduction import REDUCTION_VERSION, reduce_to_four
from search.quality.relative_loss import estimated_relative_loss
from service.store.database import Database
from service.store.recall_scores import RecallScores

RECALL, LOSS = "recall_score", "estimated_relative_loss"
RECIPE = f"recall {RECALL_VERSION}, reduction {REDUCTION_VERSION}"
HALF_INTERVAL_SIGMAS = 1.96

PROXY_NOTES = {
    RECALL: "Quality proxy: accuracy of a four-block model of the same mixers on five synthetic recall tasks, 300 "
    "steps; tells tiers of layouts apart, not neighbours; never checked on trained 100M+ models.",
    LOSS: "Quality proxy: a published scaling law over embedding and other parameters (Tao et al. 2024, "
    "arXiv 2407.13623); only differences mean anything; blind to the mixers. Its ± is the range of published "
    "exponents, which moves all candidates alike.",
}


def proxy_caveats() -> tuple[str, ...]:
    """Say what the proxies have been checked against."""
    seeds, longer = seed_agreement(), longer_agreement()
    return (
        "Recall score and estimated relative loss are quality proxies; neither has been checked against trained "
        "models of 100 M parameters or more.",
        f"Of {seeds.patterns} recall patterns trained at three seeds {seeds.alike} stayed within {ALIKE}; the others "
        "changed between learning recall and not. Ranks against training twice as long, over "
        f"{longer.patterns} patterns: Kendall's tau {longer.kendall_tau:.2f}. Differences below 0.02 among the best "
        "layouts are noise.",
    )


class QualityScores:
    """Looks recall up, or has it trained once and keeps it."""

    def __init__(self, database: Database, stop: threading.Event) -> None:
        self._database = database
        self._stop = stop

    def of(self, architecture: Architecture, needs_recall: bool) -> dict[str, Observation]:
        """Give the proxies by metric; a new pattern is trained, for half a minute, only where recall is needed."""
        layout = architecture.layout
        recall = tabled_score(layout) or self._trained_before(layout)
        if recall is None and needs_recall:
            recall = self._train(layout)
        scores = {LOSS: relative_loss(architecture)}
        return {RECALL: recall_with_interval(recall), **scores} if recall else scores

    def _trained_before(self, layout: str) -> RecallScore | None:
        pattern = reduce_to_four(layout)
        with self._database.read() as session:
            row = RecallScores(session).find(pattern, RECIPE)
        return RecallScore(pattern, row.mean, row.sd, row.seeds, "trained before") if row else None

    def _train(self, layout: str) -> RecallScore:
        with quiet_host(stop=self._stop):
            score = trained_score(layout)
        with self._database.write() as session:
            RecallScores(session).keep(score.pattern, RECIPE, score.score, score.deviation, score.seeds)
        return score


def recall_with_interval(recall: RecallScore) -> Observation:
    """Give a recall score with the 95 % interval of a mean over its seeds, within what an accuracy can be."""
    half_width = HALF_INTERVAL_SIGMAS * recall.deviation / math.sqrt(recall.seeds)
    low, high = max(0.0, recall.score - half_width), min(1.0, recall.score + half_width)
    return Observation(recall.score, low, high)


def relative_loss(architecture: Architecture) -> Observation:
    """Estimate the relative loss from an architecture's sizes."""
    count = parameters(architecture)
    estimate = estimated_relative_loss(count.effective, architecture.vocab_size, architecture.hidden_size)
    return Observation(estimate.loss, estimate.low, estimate.high)
