"""The workload as users write it: one context, or several of which the first is the one that objectives mean."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator

from devices.plan import Workload

LONGEST_CONTEXT = 131_072
MOST_CONTEXTS = 6


def _checked(contexts: int | list[int]) -> int | list[int]:
    listed = contexts if isinstance(contexts, list) else [contexts]
    if not 1 <= len(listed) <= MOST_CONTEXTS or not all(1 <= each <= LONGEST_CONTEXT for each in listed):
        raise ValueError(f"Write one context, or up to {MOST_CONTEXTS}, of 1 to {LONGEST_CONTEXT} tokens")
    if listed != sorted(set(listed)):
        raise ValueError("List the contexts from the shortest to the longest, each once")
    return contexts


Contexts = Annotated[int | list[int], AfterValidator(_checked)]


def workload_of(fields: Mapping[str, Any]) -> Workload:
    """Make a workload of its checked fields."""
    given = fields["context_tokens"]
    context_tokens, *deeper = given if isinstance(given, list) else [given]
    return Workload(**{**fields, "context_tokens": context_tokens}, deeper_contexts=tuple(deeper))
