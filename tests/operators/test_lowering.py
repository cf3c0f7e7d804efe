"""The graph against torch on the same weights, through real ONNX Runtime, and the kernels it must hit."""

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from operators.architecture import Architecture
from operators.errors import ExportError, LoweringError
from operators.export.decoder import Decoder
from operators.export.onnx_folder import write_pool
from operators.lowering import POOL_FILE, LoweredGraph, lower
from operators.mixer import Mixer
from operators.mixers.gated_delta_net import GatedDeltaNet
from operators.mixers.grouped_query_attention import GroupQueryAttention
from operators.mixers.linear_attention import LinearAttention
from operators.mixers.short_conv import ShortConv
from operators.mixers.sliding_window_attention import SlidingWindowAttention
from operators.precision import Precision
from operators.reference_output import expected_logits
from operators.references import reference
from tests.operators.builders import SMALL, VARIANTS, an_architecture, of_mixers

SEED = 7
LEAST_CAPACITY = 16
"""That of the longest window among the mixers that are tested."""

INT4, INT8, FP32 = Precision(4, 32), Precision(8, 32), Precision(32)


def a_decoder(folder: Path, lowered: LoweredGraph) -> Decoder:
    """Run the graph on the pool of SEED; the graph as ONNX Runtime optimises it is left beside it."""
    write_pool(folder / POOL_FILE, lowered, SEED)
    (folder / "candidate.onnx").write_bytes(lowered.onnx_bytes)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    options.log_severity_level = 3
    return Decoder(folder / "candidate.onnx", lowered, options)


Logits = tuple[np.ndarray, np.ndarray]
"""Logits (batch, steps, vocabulary) of the graph, and those of torch on the same weights."""


def both_logits(
    folder: Path,
    architecture: Architecture,
    precision: Precision,
    prompt: int,
    decoded: int,
    batch: int = 1,
    accuracy_level: int = 4,
) -> Logits:
    capacity = max(prompt + decoded + 3, LEAST_CAPACITY)
    lowered = lower(architecture, capacity, precision, batch, accuracy_level=accuracy_level)
    ids = np.random.default_rng(1).integers(0, architecture.vocab_size, (batch, prompt + decoded))
    decoder = a_decoder(folder, lowered)
    rows = [decoder.step(ids[:, :prompt])]
    rows += [decoder.step(ids[:, at : at + 1]) for at in range(prompt, prompt + decoded)]
    every = range(architecture.vocab_size)
    expected = [
        expected_logits(
            architecture, lowered, precision, SEED, one[:prompt], one[prompt:], every, accuracy_level
        )
        for one in ids
    ]
    return np.stack(rows, axis=1), np.array(expected)


def least_cosine(logits: Logits) -> float:
    found, expected = logits
    norms = np.linalg.norm(found, axis=-1) * np.linalg.norm(expected, axis=-1)
    return float(((found * expected).sum(-1) / norms).min())


def largest_difference(logits: Logits) -> float:
    """The largest distance between two vectors of logits over the length of the expected one."""
    found, expected = logits
    return float((np.linalg.norm(found - expected, axis=-1) / np.linalg.norm(expected, axis=-1)).max())


@pytest.mark.parametrize("config", VARIANTS, ids=str)
@pytest.mark.parametrize(("prompt", "batch"), [(1, 1), (17, 4), (70, 1)])
def test_in_fp32_prefill_and_decode_equal_torch(
    config: Mixer, prompt: int, batch: int, tmp_path: Path
) -> None:
    logits = both_logits(tmp_path, of_mixers(config, config), FP32, prompt, 5, batch)
    assert largest_difference(logits) < 1e-4


@pytest.mark.parametrize("config", VARIANTS, ids=str)
@pytest.mark.parametrize(("precision", "batch"), [(INT4, 1), (INT4, 4), (INT8, 1)], ids=str)
def test_without_rounded_activations_quantised_equals_torch_on_the_dequantised_weights(
    config: Mixer, precision: Precision, batch: int, tmp_path: Path
) -> None:
    logits = both_logits(tmp_path, of_mixers(config, config), precision, 33, 5, batch, accuracy_level=0)
    assert largest_difference(logits) < 1e-3


ODD_SIZES: list[Mixer] = [
    ShortConv(kernel_size=2),
    ShortConv(kernel_size=5),
    GroupQueryAttention(heads=3, kv_heads=1, head_size=32),
    SlidingWindowAttention(heads=3, kv_heads=3, head_size=32, window=5),
    GatedDeltaNet(key_heads=1, value_heads=3, key_head_size=16, value_head_size=32, conv_kernel_size=3),
    LinearAttention(heads=3, key_head_size=24, value_head_size=32),
]


@pytest.mark.parametrize("config", ODD_SIZES, ids=str)
@pytest.mark.parametrize(("prompt", "batch"), [(4, 1), (5, 4), (6, 1), (31, 3)])
def test_odd_sizes_equal_torch_in_fp32_and_in_int4(
    config: Mixer, prompt: int, batch: int, tmp_path: Path
) -> None:
    architecture = of_mixers(config, vocab_size=509, hidden_size=96, ffn_width=160)
    for precision, largest in ((FP32, 1e-4), (INT4, 1e-3)):
        logits = both_logits(tmp_path, architecture, precision, prompt, 7, batch, accuracy_level=0)
        assert largest_difference(logits) < largest
    assert least_cosine(both_logits(tmp_path, architecture, INT4, prompt, 7, batch)) > 0.99


@pytest.mark.parametrize("config", VARIANTS, ids=str)
@pytest.mark.parametrize("precision", [INT4, INT8], ids=lambda each: each.label)
def test_the_fast_form_agrees_with_torch_on_the_same_weights(
    config: Mixer, precision: Precision, tmp_path: Path
) -> None:
    assert least_cosine(both_logits(tmp_path, of_mixers(config), precision, 40, 4)) > 0.995


@pytest.mark.parametrize("layout", SMALL)
@pytest.mark.parametrize("block_size", [64, 128])
def test_longer_quantisation_blocks_agree_too(layout: str, block_size: int, tmp_path: Path) -> None:
    architecture, precision = an_architecture(layout), Precision(4, block_size)
    assert largest_difference(both_logits(tmp_path, architecture, precision, 40, 4, accuracy_level=0)) < 1e-3
    assert least_cosine(both_logits(tmp_path, architecture, precision, 40, 4)) > 0.995


@pytest.mark.parametrize("layout", ["CASDL", "CCACS"])
@pytest.mark.parametrize("batch", [1, 4])
def test_mixed_layouts_agree(layout: str, batch: int, tmp_path: Path) -> None:
    assert least_cosine(both_logits(tmp_path, an_architecture(layout), INT4, 40, 4, batch)) > 0.995


@pytest.mark.parametrize("prompt", [1, 15, 16, 17, 100])
def test_the_rolling_cache_equals_torch_around_the_window(prompt: int, tmp_path: Path) -> None:
    assert largest_difference(both_logits(tmp_path, an_architecture("SS"), FP32, prompt, 90)) < 1e-4


@pytest.mark.parametrize(
    "fields",
    [
        {"norm_placement": "sandwich", "embedding_scale": 11.3, "activation": "gelu_tanh"},
        {"tie_embeddings": False},
    ],
)
def test_sandwich_norms_geglu_scaled_and_untied_embeddings_equal_torch(
    fields: dict[str, object], tmp_path: Path
) -> None:
    architecture = an_architecture("CA", **fields)
    assert largest_difference(both_logits(tmp_path, architecture, FP32, 20, 3)) < 1e-4
    assert least_cosine(both_logits(tmp_path, architecture, INT4, 20, 3)) > 0.995


def test_a_batch_of_prompts_gives_each_its_own_logits(tmp_path: Path) -> None:
    architecture = an_architecture("CASDL")
    ids = np.random.default_rng(2).integers(0, 512, (4, 30))
    together = a_decoder(tmp_path, lower(architecture, 64, INT4, batch=4)).step(ids)
    for row in range(4):
        alone = a_decoder(tmp_path, lower(architecture, 64, INT4)).step(ids[row : row + 1])
        np.testing.assert_allclose(together[row], alone[0], rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("config", VARIANTS, ids=str)
def test_a_prompt_read_in_pieces_ends_as_one_that_is_read_at_once(config: Mixer, tmp_path: Path) -> None:
    lowered = lower(of_mixers(config, config), 64, FP32)
    ids = np.random.default_rng(2).integers(0, 512, (1, 40))
    at_once, in_pieces = a_decoder(tmp_path, lowered), a_decoder(tmp_path, lowered)
    for piece in (ids[:, :17], ids[:, 17:19], ids[:, 19:]):
        logits = in_pieces.step(piece)
    wanted = at_once.step(ids)
    assert largest_difference((logits, wanted)) < 1e-4


FAST_KERNELS = {
    "C": {"MatMulNBits": 5, "GatherBlockQuantized": 1},
    "A": {"MatMulNBits": 5, "GatherBlockQuantized": 1, "GroupQueryAttention": 1},
    "S": {"MatMulNBits": 5, "GatherBlockQuantized": 1, "GroupQueryAttention": 1},
    "D": {"MatMulNBits": 5, "LinearAttention": 1, "LinearAttentionGate": 1, "QuickGelu": 3},
    "L": {"MatMulNBits": 5, "LinearAttention": 1, "QuickGelu": 2},
}
ALLOWED = {
    "Add",
    "Concat",
    "FusedMatMul",
    "GatherBlockQuantized",
    "GroupQueryAttention",
    "LinearAttention",
    "LinearAttentionGate",
    "Log",
    "MatMulNBits",
    "Mul",
    "QuickGelu",
    "Reshape",
    "Sigmoid",
    "SimplifiedLayerNormalization",
    "SkipSimplifiedLayerNormalization",
    "Shape",
    "Slice",
    "Split",
}
"""The kernels of fast forms; not among them are some by the right name: CausalConvWithState, GatedRMSNorm."""


@pytest.mark.parametrize("config", VARIANTS, ids=str)
def test_the_optimised_graph_holds_the_fast_kernels_and_no_slow_fallback(
    config: Mixer, tmp_path: Path
) -> None:
    a_decoder(tmp_path, lower(of_mixers(config), 64, INT4))
    optimised = onnx.load(tmp_path / "optimised.onnx", load_external_data=False)
    kinds = Counter(node.op_type for node in optimised.graph.node)
    wanted = dict(FAST_KERNELS[config.code])
    assert {kind: kinds[kind] for kind in wanted} == wanted
    assert set(kinds) <= ALLOWED


def test_no_two_tensors_share_weights_except_the_tied_embedding_and_its_head() -> None:
    lowered = lower(an_architecture("CASDL"), 64, INT4)
    model = onnx.load_from_string(lowered.onnx_bytes)
    spans = sorted(
        tuple(int(entry.value) for entry in tensor.external_data if entry.key in ("offset", "length"))
        for tensor in model.graph.initializer
        if tensor.external_data and not tensor.name.startswith("head.")
    )
    assert all(offset % 4096 == 0 for offset, _ in spans)
    for (offset, length), (following, _) in itertools.pairwise(spans):
        assert offset + length <= following


def test_a_350m_candidate_is_a_graph_of_under_one_megabyte() -> None:
    assert len(lower(reference("lfm2-350m"), 4096).onnx_bytes) < 1_000_000


def test_a_graph_file_that_was_cut_off_is_refused_by_name(tmp_path: Path) -> None:
    lowered = lower(an_architecture("C"), 64, INT4)
    (tmp_path / "model.onnx").write_bytes(lowered.onnx_bytes[:-100])
    with pytest.raises(ExportError, match=r"model\.onnx: ONNX Runtime can't load it .*; write it again"):
        Decoder(tmp_path / "model.onnx", lowered)


def test_a_window_longer_than_the_context_is_refused() -> None:
    with pytest.raises(
        LoweringError, match=r"sliding_window_attention.window = 16: longer than the context of 12"
    ):
        lower(an_architecture("S"), 12, INT4)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"context_capacity": 0}, "context_capacity = 0"),
        ({"context_capacity": 2**31}, "context_capacity = 2147483648"),
        ({"context_capacity": "64"}, "context_capacity = '64'"),
        ({"batch": 0}, "batch = 0"),
        ({"batch": 1.5}, "batch = 1.5"),
        ({"batch": True}, "batch = True"),
        ({"accuracy_level": 9}, "accuracy_level = 9"),
    ],
)
def test_impossible_arguments_are_refused_by_name(arguments: dict[str, Any], name: str) -> None:
    with pytest.raises(LoweringError, match=name):
        lower(an_architecture("C"), **{"context_capacity": 64, **arguments})


def test_a_width_that_blocks_do_not_divide_is_refused() -> None:
    with pytest.raises(LoweringError, match="block size 32"):
        lower(an_architecture("C", hidden_size=100), 64, INT4)
