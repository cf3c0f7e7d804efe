import pytest

from operators.architecture import Architecture
from operators.cost import parameters, state_bytes, weight_bytes
from operators.errors import ArchitectureError, NotationError
from operators.model import LanguageModel
from operators.notation import architecture_from_dict
from operators.precision import Precision
from operators.references import REFERENCES, reference
from tests.operators.builders import an_architecture


@pytest.mark.parametrize(
    ("name", "total", "embedding_percent"),
    [
        ("lfm2-350m", 354_483_968, 18.9),
        ("lfm2-700m", 742_489_344, 13.6),
        ("gemma-3-270m", 268_098_176, 62.6),
        ("qwen3-0.6b", 596_049_920, 26.1),
    ],
)
def test_reference_totals_are_exact(name: str, total: int, embedding_percent: float) -> None:
    count = parameters(reference(name))
    assert count.total == total
    assert count.embedding_ratio * 100 == pytest.approx(embedding_percent, abs=0.06)


def test_closed_form_parameters_equal_the_torch_model() -> None:
    for architecture in (
        an_architecture(),
        an_architecture("AC", norm_placement="sandwich", tie_embeddings=False),
    ):
        built = sum(p.numel() for p in LanguageModel(architecture).parameters())
        assert parameters(architecture).total == built


@pytest.mark.parametrize("name", REFERENCES)
def test_a_document_reads_back_as_the_same_architecture(name: str) -> None:
    architecture = reference(name)
    again = architecture_from_dict(architecture.to_dict())
    assert again == architecture
    assert again.digest == architecture.digest


def test_equal_architectures_have_equal_digests_and_different_ones_do_not() -> None:
    assert an_architecture().digest == an_architecture().digest
    assert an_architecture("CA").digest != an_architecture("AC").digest


def test_state_grows_with_context_only_where_attention_keeps_it() -> None:
    assert state_bytes(an_architecture("CDL"), 1000) == state_bytes(an_architecture("CDL"), 10)
    assert state_bytes(an_architecture("A"), 1000) == 100 * state_bytes(an_architecture("A"), 10)
    assert state_bytes(an_architecture("S"), 1000) == state_bytes(an_architecture("S"), 16)


def test_int4_weights_take_five_bits_with_their_scales_at_block_32() -> None:
    architecture = reference("lfm2-350m")
    bits = 8 * weight_bytes(architecture, Precision(4, 32)) / parameters(architecture).total
    assert bits == pytest.approx(5.0, abs=0.02)


@pytest.mark.parametrize(
    "fields",
    [
        {"vocab_size": 0},
        {"hidden_size": 64.0},
        {"hidden_size": True},
        {"tie_embeddings": "no"},
        {"norm_epsilon": 0.0},
        {"embedding_scale": float("inf")},
        {"activation": "relu"},
    ],
    ids=str,
)
def test_an_impossible_field_is_named_with_its_value(fields: dict[str, object]) -> None:
    ((name, value),) = fields.items()
    with pytest.raises(ArchitectureError, match=f"{name} = {value!r}"):
        an_architecture("C", **fields)


def test_unknown_keys_and_mixers_are_named() -> None:
    document = an_architecture("C").to_dict()
    with pytest.raises(NotationError, match=r"architecture\.depth: unknown key"):
        architecture_from_dict({**document, "depth": 3})
    document["blocks"][0]["mixer"]["kind"] = "mamba"
    with pytest.raises(NotationError, match=r"blocks\[0\]\.mixer\.kind = 'mamba'"):
        architecture_from_dict(document)
    with pytest.raises(NotationError, match="known are lfm2-350m"):
        reference("lfm2")


def test_an_architecture_without_blocks_is_refused() -> None:
    with pytest.raises(ArchitectureError, match="at least one block"):
        Architecture(512, 128, ())
