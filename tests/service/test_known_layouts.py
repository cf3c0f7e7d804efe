"""What a user names is an architecture that fits, or is refused before anything is made of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from serving import a_service, a_small_study

from operators.precision import Precision
from search.space import WIDEST
from service.api.schemas import MeasurementWish
from service.errors import BadInput, ServiceError
from service.known_layouts import Scale, from_document, named

Change = Callable[[dict[str, Any]], Any]


def a_document(change: Change = lambda document: None) -> dict[str, Any]:
    """A whole architecture at the small study's budget, then changed."""
    document = named("CCACCA", Scale(6_000_000, 8192, None)).architecture.to_dict()
    change(document)
    return document


def widen_windows(document: dict[str, Any]) -> None:
    """Make every attention a sliding window of 4000 tokens."""
    for block in document["blocks"]:
        if block["mixer"]["kind"] == "grouped_query_attention":
            block["mixer"] |= {"kind": "sliding_window_attention", "window": 4000}


@pytest.mark.parametrize(
    ("name", "scale", "field"),
    [
        ("CCA", Scale(parameters=0), "parameters"),
        ("CCA", Scale(parameters=10**16), "parameters"),
        ("lfm2-350m", Scale(parameters=0), "parameters"),
        ("lfm2-350m", Scale(vocabulary=8192), "vocabulary"),
        ("lfm2-350m", Scale(embedding_ratio=0.2), "embedding_ratio"),
        ("lfm2-350m", Scale(parameters=60_000_000, embedding_ratio=0.2), "embedding_ratio"),
    ],
)
def test_what_cannot_be_honoured_is_refused_and_never_ignored(name: str, scale: Scale, field: str) -> None:
    with pytest.raises(BadInput) as refusal:
        named(name, scale)
    assert refusal.value.field == field
    assert refusal.value.hint


@pytest.mark.parametrize("ratio", [float("nan"), 0.0, 1.0, -1.0, float("inf")])
def test_an_embedding_ratio_that_is_no_share_is_refused(ratio: float) -> None:
    with pytest.raises(BadInput, match="can't be used"):
        Scale(embedding_ratio=ratio)


def test_a_vocabulary_of_one_does_not_walk_through_every_width() -> None:
    assert named("CCA", Scale(4_000_000_000, 1)).architecture.hidden_size <= WIDEST


UNFIT: dict[str, tuple[Change, str]] = {
    "another vocabulary": (lambda d: d.update(vocab_size=8000), "architectures[0].vocab_size"),
    "far from the budget": (lambda d: d.update(blocks=d["blocks"][:1]), "architectures[0]"),
    "no multiple of the block size": (lambda d: d.update(hidden_size=100), "architectures[0]"),
    "not even an architecture": (lambda d: d.update(blocks=3), "architectures[0]"),
    "a window longer than the workload": (widen_windows, "architectures[0]"),
}


@pytest.mark.parametrize(("change", "field"), UNFIT.values(), ids=UNFIT)
def test_an_architecture_that_does_not_fit_a_study_is_refused_when_it_is_enqueued(
    tmp_path: Path, change: Change, field: str
) -> None:
    with a_service(tmp_path) as running, running.client() as client:
        client.submit_study(a_small_study())
        with pytest.raises(ServiceError) as refusal:
            client.enqueue("small", [], [a_document(), a_document(change)][::-1])
        assert (refusal.value.status, refusal.value.field) == (422, field)
        assert client.trials("small") == []
        assert client.enqueue("small", [], [a_document()]).numbers == [1]


def test_an_architecture_that_can_not_be_lowered_is_refused_when_its_measurement_is_asked_for(
    tmp_path: Path,
) -> None:
    with a_service(tmp_path) as running, running.client() as client:
        wish = MeasurementWish(architecture=a_document(lambda d: d["blocks"][0]["ffn"].update(width=100)))
        with pytest.raises(ServiceError) as refusal:
            client.measure(wish)
    assert (refusal.value.status, refusal.value.field) == (422, "architecture")
    assert "block size 32" in refusal.value.hint


def test_a_window_longer_than_the_workload_is_refused_when_its_measurement_is_asked_for(
    tmp_path: Path,
) -> None:
    wish = {
        "architecture": a_document(widen_windows),
        "workload": {"prompt_tokens": 64, "context_tokens": 64},
    }
    with a_service(tmp_path) as running, running.client() as client:
        with pytest.raises(ServiceError) as refusal:
            client.measure(MeasurementWish.model_validate(wish))
        assert (refusal.value.status, refusal.value.field) == (422, "architecture")
        assert "window = 4000" in refusal.value.line
        assert "128 tokens" in refusal.value.hint


STRANGE: dict[str, Change] = {
    "a text for a number": lambda d: d.update(norm_epsilon="small"),
    "an endless scale": lambda d: d.update(embedding_scale=float("inf")),
    "half a kernel": lambda d: d["blocks"][0]["mixer"].update(kernel_size=2.5),
    "a base of nought": lambda d: d["blocks"][2]["mixer"].update(rotary_base=0),
    "more than any memory": lambda d: d["blocks"][0]["ffn"].update(width=32 * 10**7),
}


@pytest.mark.parametrize("change", STRANGE.values(), ids=STRANGE)
def test_a_strange_document_is_bad_input(change: Change) -> None:
    with pytest.raises(BadInput) as refusal:
        from_document(a_document(change), "architecture", Precision())
    assert refusal.value.field == "architecture"
