"""Five synthetic recall tasks after the MAD suite (Poli et al. 2024, arXiv 2403.17844), generated online.

Every task yields token ids (sequences, TOKENS) and targets of the same shape, -100 where nothing is asked.
All share one vocabulary, and the first token names the task, so that one model can be trained on all of them.
"""

import torch
from torch import Generator, Tensor

TOKENS = 64
KEYS = 8
VALUES = 8
NOISES = 8
FUZZY_KEYS = 4
IGNORE = -100

TASKS = ("in_context_recall", "noisy_recall", "fuzzy_recall", "selective_copy", "memorisation")

KEY_START = len(TASKS)
VALUE_START = KEY_START + KEYS
NOISE_START = VALUE_START + VALUES
MEMORY_KEY_START = NOISE_START + NOISES
MEMORY_KEYS = 64
SEPARATOR = MEMORY_KEY_START + MEMORY_KEYS
BLANK = SEPARATOR + 1
VOCABULARY = BLANK + 1

COPIED_TOKENS = 12

Batch = tuple[Tensor, Tensor]


def mixed_batch(sequences_per_task: int, memory: Tensor, generator: Generator) -> Batch:
    """Draw `sequences_per_task` sequences of every task, in the order of TASKS."""
    batches = [draw(task, sequences_per_task, memory, generator) for task in TASKS]
    return torch.cat([ids for ids, _ in batches]), torch.cat([targets for _, targets in batches])


def draw(task: str, sequences: int, memory: Tensor, generator: Generator) -> Batch:
    """Draw sequences of one task; `memory` is the fixed mapping that memorisation asks for (see `fixed_memory`)."""
    if task == "in_context_recall":
        body = _pairs(sequences, TOKENS - 1, generator)
    elif task == "noisy_recall":
        body = _noisy_pairs(sequences, generator)
    elif task == "fuzzy_recall":
        body = _fuzzy_pairs(sequences, generator)
    elif task == "selective_copy":
        body = _selective_copy(sequences, generator)
    else:
        body = _memorisation(sequences, memory, generator)
    return _with_task_token(TASKS.index(task), *body)


def fixed_memory(generator: Generator) -> Tensor:
    """Draw the mapping of memorisation once per model: a value token for every memory key."""
    return torch.randint(VALUE_START, VALUE_START + VALUES, (MEMORY_KEYS,), generator=generator)


def _pairs(sequences: int, tokens: int, generator: Generator) -> Batch:
    """Key, value, key, value … under a mapping drawn per sequence; a value is asked once its key was seen before."""
    count = tokens // 2
    mapping = _random(VALUE_START, VALUES, (sequences, KEYS), generator)
    keys = _random(0, KEYS, (sequences, count), generator)
    values = mapping.gather(1, keys)
    ids = torch.stack([keys + KEY_START, values], dim=2).flatten(1)  # (s, 2 count)
    asked = torch.where(_seen_before(keys), values, IGNORE)
    targets = torch.full_like(ids, IGNORE)
    targets[:, 0::2] = asked  # the prediction is made at the key
    return _pad(ids, targets, tokens)


def _noisy_pairs(sequences: int, generator: Generator) -> Batch:
    """As `_pairs`, with noise tokens strewn between the pairs."""
    ids, targets = _pairs(sequences, 2 * ((TOKENS - 1) // 3), generator)
    count = ids.shape[1] // 2
    noise = _random(NOISE_START, NOISES, (sequences, count, 1), generator)
    with_noise = torch.cat([noise, ids.view(sequences, count, 2)], dim=2).flatten(1)
    silent = torch.full((sequences, count, 1), IGNORE)
    with_silence = torch.cat([silent, targets.view(sequences, count, 2)], dim=2).flatten(1)
    return _pad(with_noise, with_silence, TOKENS - 1)


def _fuzzy_pairs(sequences: int, generator: Generator) -> Batch:
    """As `_pairs`, with keys of two tokens: only both together say which value is meant."""
    count = (TOKENS - 1) // 3
    mapping = _random(VALUE_START, VALUES, (sequences, FUZZY_KEYS**2), generator)
    keys = _random(0, FUZZY_KEYS**2, (sequences, count), generator)
    values = mapping.gather(1, keys)
    first, second = keys // FUZZY_KEYS + KEY_START, keys % FUZZY_KEYS + KEY_START + FUZZY_KEYS
    ids = torch.stack([first, second, values], dim=2).flatten(1)
    targets = torch.full_like(ids, IGNORE)
    targets[:, 1::3] = torch.where(_seen_before(keys), values, IGNORE)
    return _pad(ids, targets, TOKENS - 1)


def _selective_copy(sequences: int, generator: Generator) -> Batch:
    """Value tokens between blanks, then a separator; the values are asked in order, blanks left out."""
    length = TOKENS - 1 - 1 - COPIED_TOKENS
    places = (
        torch.rand(sequences, length, generator=generator)
        .argsort(dim=1)[:, :COPIED_TOKENS]
        .sort(dim=1)
        .values
    )
    values = _random(VALUE_START, VALUES, (sequences, COPIED_TOKENS), generator)
    source = torch.full((sequences, length), BLANK).scatter(1, places, values)
    asking = torch.full((sequences, 1 + COPIED_TOKENS), SEPARATOR)
    ids = torch.cat([source, asking], dim=1)
    targets = torch.full_like(ids, IGNORE)
    targets[:, -COPIED_TOKENS - 1 : -1] = values
    return ids, targets


def _memorisation(sequences: int, memory: Tensor, generator: Generator) -> Batch:
    """Key, blank, key, blank …: the value of a key never stands in the context, it must lie in the weights."""
    count = (TOKENS - 1) // 2
    keys = _random(0, MEMORY_KEYS, (sequences, count), generator)
    ids = torch.stack([keys + MEMORY_KEY_START, torch.full_like(keys, BLANK)], dim=2).flatten(1)
    targets = torch.full_like(ids, IGNORE)
    targets[:, 0::2] = memory[keys]
    return _pad(ids, targets, TOKENS - 1)


def _seen_before(keys: Tensor) -> Tensor:
    """Mark, in (sequences, count), the keys that occurred earlier in their sequence."""
    same = keys[:, :, None] == keys[:, None, :]
    return same.tril(-1).any(dim=2)


def _random(start: int, count: int, shape: tuple[int, ...], generator: Generator) -> Tensor:
    return torch.randint(start, start + count, shape, generator=generator)


def _pad(ids: Tensor, targets: Tensor, tokens: int) -> Batch:
    missing = tokens - ids.shape[1]
    blanks = torch.full((ids.shape[0], missing), BLANK)
    return torch.cat([ids, blanks], dim=1), torch.cat([targets, torch.full_like(blanks, IGNORE)], dim=1)


def _with_task_token(task: int, ids: Tensor, targets: Tensor) -> Batch:
    token = torch.full((ids.shape[0], 1), task)
    return torch.cat([token, ids], dim=1), torch.cat([torch.full_like(token, IGNORE), targets], dim=1)
