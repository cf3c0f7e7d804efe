"""Trains one small model per four-block pattern on the recall tasks; its accuracy is the pattern's recall score."""

from dataclasses import dataclass

import torch
from torch.nn import functional

from operators.architecture import Architecture, Block, SwiGLU
from operators.mixer import Mixer
from operators.model import LanguageModel, initialise
from operators.registry import MIXERS
from search.errors import SpaceError
from search.quality.recall_tasks import IGNORE, TASKS, VOCABULARY, draw, fixed_memory, mixed_batch

RECALL_VERSION = 1
"""Grows whenever tasks, recipe or the small models' mixers change: scores of different versions don't compare."""

HIDDEN_SIZE = 64
FFN_WIDTH = 128
SMALL_MIXERS: dict[str, Mixer] = {operator.config.code: operator.small for operator in MIXERS.values()}


@dataclass(frozen=True)
class Recipe:
    """The training recipe; scores are comparable between patterns only under one recipe."""

    steps: int = 300
    sequences_per_task: int = 6
    learning_rate: float = 4e-3
    warm_up_steps: int = 30
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    test_sequences_per_task: int = 128


@dataclass(frozen=True)
class TrainedScore:
    """Accuracy of one trained model: the mean over tasks and every task's own."""

    score: float
    by_task: dict[str, float]


def train_pattern(pattern: str, seed: int, recipe: Recipe = Recipe()) -> TrainedScore:
    """Train the pattern's small model on one CPU thread and test it on fresh sequences."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return _train(pattern, seed, recipe)
    finally:
        torch.set_num_threads(threads)


def small_architecture(pattern: str) -> Architecture:
    """Return the four-block model that stands for a pattern; raise SpaceError for a letter it can't hold."""
    unknown = sorted(set(pattern) - set(SMALL_MIXERS))
    if unknown or len(pattern) != 4:
        raise SpaceError("recall pattern", pattern, f"use four of the letters {', '.join(SMALL_MIXERS)}")
    blocks = tuple(Block(SMALL_MIXERS[code], SwiGLU(FFN_WIDTH)) for code in pattern)
    return Architecture(VOCABULARY, HIDDEN_SIZE, blocks, embedding_scale=HIDDEN_SIZE**0.5)


def _train(pattern: str, seed: int, recipe: Recipe) -> TrainedScore:
    generator = torch.Generator().manual_seed(seed)
    model = LanguageModel(small_architecture(pattern))
    initialise(model, generator)
    memory = fixed_memory(generator)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, betas=(0.9, 0.98)
    )
    for step in range(recipe.steps):
        for group in optimiser.param_groups:
            group["lr"] = recipe.learning_rate * min(1.0, (step + 1) / recipe.warm_up_steps)
        ids, targets = mixed_batch(recipe.sequences_per_task, memory, generator)
        loss = functional.cross_entropy(model(ids).flatten(0, 1), targets.flatten(), ignore_index=IGNORE)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
        optimiser.step()
    return _test(model, memory, recipe, torch.Generator().manual_seed(seed + 1_000_003))


@torch.no_grad()
def _test(
    model: LanguageModel, memory: torch.Tensor, recipe: Recipe, generator: torch.Generator
) -> TrainedScore:
    by_task = {}
    for task in TASKS:
        ids, targets = draw(task, recipe.test_sequences_per_task, memory, generator)
        asked = targets != IGNORE
        right = (model(ids).argmax(dim=-1) == targets) & asked
        by_task[task] = (right.sum() / asked.sum()).item()
    return TrainedScore(sum(by_task.values()) / len(by_task), by_task)
