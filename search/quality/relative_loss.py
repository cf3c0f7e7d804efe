"""Estimated relative loss: what the sizes of body and embedding alone say about the loss, by a published law."""

from dataclasses import dataclass

BODY_SCALE, BODY_EXPONENT = 1.8314, 0.4466
VOCABULARY_SCALE, VOCABULARY_EXPONENT = 0.19584, 0.6707
EXPONENT_LOW, EXPONENT_HIGH = 0.34, 0.45
"""Range of published body exponents; the estimate's band is its value at both ends."""
OPTIMAL_VOCABULARY_PARAMETERS, OPTIMAL_BODY_PARAMETERS, OPTIMAL_EXPONENT = 3.146e6, 33e6, 0.835
OVERTRAINING_FACTOR = 4.0
"""Small models are trained far past the compute optimum and then bear larger vocabularies: a guess, marked so."""


@dataclass(frozen=True)
class RelativeLoss:
    """A loss in unigram-normalised nats, of use in differences only.

    `low` and `high` span the body exponent's published range.
    """

    loss: float
    low: float
    high: float


def estimated_relative_loss(effective_parameters: int, vocab_size: int, hidden_size: int) -> RelativeLoss:
    """Estimate the loss from the sizes alone (Tao et al. 2024, arXiv 2407.13623, approach 3).

    loss = A1 (N_eff / 1e6)^-a1 + A2 (N_v / 1e6)^-a2, with N_v capped at the vocabulary that a body of this size can
    use: beyond it more embedding parameters are not counted as a gain.
    """
    body = effective_parameters / 1e6
    vocabulary = min(vocab_size * hidden_size, usable_vocabulary_parameters(effective_parameters)) / 1e6
    tail = VOCABULARY_SCALE * vocabulary**-VOCABULARY_EXPONENT
    # The exponents are compared at a body of 33 M, where the law was anchored, so that the band is one of slope.
    anchor = OPTIMAL_BODY_PARAMETERS / 1e6
    at_anchor = BODY_SCALE * anchor**-BODY_EXPONENT
    ends = [at_anchor * (body / anchor) ** -exponent + tail for exponent in (EXPONENT_LOW, EXPONENT_HIGH)]
    return RelativeLoss(BODY_SCALE * body**-BODY_EXPONENT + tail, min(ends), max(ends))


def usable_vocabulary_parameters(effective_parameters: int) -> float:
    """Embedding parameters that a body of this size can use: four times the compute-optimal number."""
    ratio = effective_parameters / OPTIMAL_BODY_PARAMETERS
    return float(OVERTRAINING_FACTOR * OPTIMAL_VOCABULARY_PARAMETERS * ratio**OPTIMAL_EXPONENT)
