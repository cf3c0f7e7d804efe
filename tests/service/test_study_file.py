"""Study files: what they become, and one message for everything that can be wrong with them."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from search.space import LARGEST_PARAMETERS
from service.errors import StudyFileError
from service.study_fields import LARGEST_QUANTITY
from service.study_file import define_study, read_study, stored_study

POCKET = Path(__file__).parents[2] / "examples" / "pocket.yaml"


def a_document(**changes: Any) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(POCKET.read_text())
    for place, value in changes.items():
        _put(document, place.split("__"), value)
    return document


def _put(document: dict[str, Any], place: list[str], value: Any) -> None:
    *parents, last = place
    for key in parents:
        document = document[key]
    document[last] = value


def test_the_pocket_study_is_valid_and_says_what_the_file_says() -> None:
    study = read_study(POCKET.read_text())
    assert (study.name, study.trials, study.budget.parameters) == ("pocket", 30, 60_000_000)
    assert [choice.code for choice in study.space.mixers] == ["C", "A", "S", "D", "L"]
    assert [reference.label for reference in study.references] == ["lfm2-350m", "gemma-3-270m"]
    assert str(study.constraints[0]) == "peak_rss_mb@laptop <= 160"


@pytest.mark.parametrize(
    "line", ["trials: !!bool maybe", 'seed: !!int ""', "x: !!timestamp x", "x: !!python/none x", "seed: !x 1"]
)
def test_tags_are_refused_by_their_line(line: str) -> None:
    with pytest.raises(StudyFileError, match="line 2: the tag"):
        read_study(f"study: x\n{line}\n")


def test_the_packaged_pocket_study_is_the_one_in_examples() -> None:
    packaged = Path(__file__).parents[2] / "service" / "examples" / "pocket.yaml"
    assert packaged.read_bytes() == POCKET.read_bytes()


def test_a_stored_document_reads_back_as_the_same_study() -> None:
    study = read_study(POCKET.read_text())
    again = define_study(study.document)
    assert again == study
    assert again.digest == study.digest


@pytest.mark.parametrize("text", ["60M", "60_000_000", 60_000_000, "6e7", "0.06B", 6e7])
def test_a_budget_may_be_written_in_several_ways(text: object) -> None:
    document = a_document(budget__parameters=str(text).replace("_", "") if isinstance(text, str) else text)
    assert define_study(document).budget.parameters == 60_000_000


BAD = [
    ("unknown key", {"trails": 3}, "trails", "did you mean 'trials'?"),
    ("unknown key below", {"space__dept": [1, 2]}, "space.dept", "did you mean 'depth'?"),
    ("unknown key without a neighbour", {"budget__zzz": 1}, "budget.zzz", "known are parameters, tolerance"),
    ("unknown mixer", {"space__mixers__short_cov": {}}, "space.mixers.short_cov", "'short_conv'"),
    ("unknown option", {"space__mixers__short_conv": {"kernel": 3}}, "short_conv.kernel", "'kernel_size'"),
    ("wrong type", {"trials": "many"}, "trials", '"many" can\'t be used'),
    ("text for a number", {"trials": "34"}, "trials", "valid integer"),
    ("truth for a number", {"trials": True}, "trials", "valid integer"),
    ("a size beyond any", {"budget__parameters": 4 * 10**15}, "budget.parameters", "4000000000"),
    ("a size beyond floats", {"budget__parameters": "1e400"}, "budget.parameters", "at most 4_000_000_000"),
    ("wrong type deep down", {"space__depth": [8, "x"]}, "space.depth[1]", "valid integer"),
    (
        "an impossible kernel",
        {"space__mixers__short_conv": {"kernel_size": 1}},
        "short_conv.kernel_size",
        "2 or more",
    ),
    ("no number", {"budget__parameters": "a lot"}, "budget.parameters", "such as 60M"),
    ("not a finite number", {"budget__tolerance": float("nan")}, "budget.tolerance", "finite"),
    ("negative trials", {"trials": -1}, "trials", "greater than or equal to 1"),
    ("a name with a path in it", {"study": "../x"}, "study", "pattern"),
    ("unknown metric", {"objectives": ["speed@laptop"]}, "objectives[0]", "no metric 'speed'"),
    ("unknown target", {"objectives": ["tpot_ms_p50@lapton"]}, "objectives[0]", "did you mean 'laptop'?"),
    ("twice the same", {"objectives": ["recall_score", "recall_score"]}, "objectives[1]", "drop one"),
    (
        "a constraint that is none",
        {"constraints": ["peak < 3"]},
        "constraints[0]",
        "peak_rss_mb@laptop <= 160",
    ),
    ("device and labels", {"targets__laptop": {"device": "a", "labels": {}}}, "targets.laptop", "either"),
    ("unknown reference", {"references": ["lfm2-350"]}, "references[0]", "did you mean 'lfm2-350m'?"),
    ("a letter outside the space", {"enqueue": ["CXCXCXCX"]}, "enqueue[0]", "X"),
    ("impossible ratio", {"space__embedding_ratio": [0.9, 0.95]}, "space.embedding_ratio", "ask for a range"),
    ("ratio upside down", {"space__embedding_ratio": [0.4, 0.2]}, "space.embedding_ratio", "lower end"),
    ("a depth beyond floats", {"space__depth": [8, 10**401]}, "space.depth", "within [1, 256]"),
    ("bits beyond printing", {"precision__bits": 1 << 20_000}, "precision.bits", "less than or equal"),
    (
        "an option beyond any",
        {"space__mixers__sliding_window_attention": {"window": 10**401}},
        "window",
        "at most 131072",
    ),
    (
        "a window that nothing reaches",
        {"space__mixers__sliding_window_attention": {"window": [128, 4096]}},
        "space.mixers.sliding_window_attention.window: 4096",
        "raise prompt_tokens or context_tokens",
    ),
    (
        "too many options",
        {"space__mixers__sliding_window_attention": {"window": list(range(1, 40))}},
        "sliding_window_attention.window",
        "at most 16",
    ),
    ("a constraint never met", {"constraints": ["recall_score >= 2"]}, "constraints[0]", "1 at most"),
    ("a loss never met", {"constraints": ["estimated_relative_loss <= 0.01"]}, "constraints", "no candidate"),
    ("memory too small", {"constraints": ["peak_rss_mb@laptop <= 10"]}, "constraints", "smallest candidate"),
    ("bits", {"precision__bits": 3}, "precision.bits: 3 can't be used", "(4, 8, 32)"),
]


def test_a_study_that_was_accepted_stays_readable_when_its_limits_would_be_refused_today() -> None:
    document = a_document(constraints=["peak_rss_mb@laptop <= 1"])
    with pytest.raises(StudyFileError):
        define_study(document)
    assert str(stored_study(document).constraints[0]) == "peak_rss_mb@laptop <= 1"


@pytest.mark.parametrize(
    ("changes", "place", "way_out"), [case[1:] for case in BAD], ids=[case[0] for case in BAD]
)
def test_one_message_names_the_place_and_a_way_out(changes: dict[str, Any], place: str, way_out: str) -> None:
    with pytest.raises(StudyFileError) as refusal:
        define_study(a_document(**changes))
    assert place in refusal.value.line
    assert way_out in refusal.value.line
    assert "\n" not in refusal.value.line
    assert len(refusal.value.line) < 400


def test_a_missing_part_is_named() -> None:
    document = a_document()
    del document["budget"]
    with pytest.raises(StudyFileError) as refusal:
        define_study(document)
    assert refusal.value.line.startswith("budget: is missing")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("study: a\nstudy: b\n", "twice"),
        ("a: &x [1]\nb: *x\n", "aliases"),
        ("{" * 100, "30 levels"),
        ("a: [1, 2", "line"),
        ("- 1\n- 2\n", "a list"),
        ("", "nothing"),
        ("a: !!python/object/apply:os.system [ls]", "tag"),
        ("x" * 300_000, "bytes"),
        ("? [1, 2]\n: 3\n", "plain word"),
        ("a: \x00", "can't be read"),
    ],
)
def test_text_that_is_no_study_file_gets_one_message(text: str, told: str) -> None:
    with pytest.raises(StudyFileError) as refusal:
        read_study(text)
    assert told in refusal.value.line


def test_text_that_is_not_utf_8_is_named_so() -> None:
    with pytest.raises(StudyFileError, match="UTF-8"):
        read_study(b"study: \xff\xfe")


def test_several_contexts_give_objectives_of_their_own() -> None:
    objectives = ["tpot_ms_p50@laptop", "tpot_ms_p50_at_4096@laptop"]
    study = define_study(
        a_document(workload__context_tokens=[512, 4096], objectives=objectives, constraints=[])
    )
    assert study.workload.contexts == (512, 4096)
    assert [each.name for each in study.objectives] == objectives
    assert define_study(study.document) == study


@pytest.mark.parametrize(
    ("contexts", "objective", "told"),
    [
        (512, "tpot_ms_p50_at_4096@laptop", "list it: workload.context_tokens: [512, 4096]"),
        ([512, 4096], "tpot_ms_p50_at_512@laptop", "needs no suffix: tpot_ms_p50"),
        ([4096, 512], "tpot_ms_p50@laptop", "from the shortest to the longest"),
        ([512, 200_000], "tpot_ms_p50@laptop", "of 1 to 131072 tokens"),
        ([], "tpot_ms_p50@laptop", "workload.context_tokens"),
        ("deep", "tpot_ms_p50@laptop", "workload.context_tokens"),
    ],
)
def test_a_context_that_is_not_measured_or_impossible_is_named(
    contexts: object, objective: str, told: str
) -> None:
    with pytest.raises(StudyFileError) as refusal:
        define_study(a_document(workload__context_tokens=contexts, objectives=[objective], constraints=[]))
    assert told in refusal.value.line


def test_how_it_is_measured_can_be_asked_for_and_is_not_written_where_it_is_usual() -> None:
    usual = define_study(a_document())
    assert "measuring" not in usual.document
    study = define_study(a_document(measuring={"profile": "lab", "half_width": 0.02}))
    assert (study.measuring.profile, study.measuring.half_width) == ("lab", 0.02)
    with pytest.raises(StudyFileError) as refusal:
        define_study(a_document(measuring={"profile": "fast"}))
    assert refusal.value.line.startswith("measuring.profile")


def test_the_largest_quantity_is_the_largest_budget() -> None:
    assert LARGEST_QUANTITY == LARGEST_PARAMETERS


def test_documents_are_not_changed_by_reading_them() -> None:
    document = a_document()
    before = copy.deepcopy(document)
    define_study(document)
    assert document == before
