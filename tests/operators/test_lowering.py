"""The graph against torch on the same weights, through real ONNX Runtime, and the kernels it must hit."""

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from operators.architecture import Architecture
from operators.errors import LoweringError
from operators.lowering import POOL_FILE, LoweredGraph, lower
from operators.pool import Region, region_bytes, region_floats, section_starts
from operators.precision import Precision
from operators.reference_output import expected_logits
from operators.references import reference
from tests.operators.builders import an_architecture

SEED = 7
INT4, INT8 = Precision(4, 32), Precision(8, 32)


def write_pool(folder: Path, lowered: LoweredGraph) -> None:
    with (folder / POOL_FILE).open("wb") as file:
        starts = section_starts(lowered.sections)
        for i, (section, start) in enumerate(zip(lowered.sections, starts, strict=True)):
            file.seek(start)
            region = Region(i, section.source, 0, section.byte_length)
            values = (
                region_floats(SEED, region)
                if section.source.kind == "uniform"
                else region_bytes(SEED, region)
            )
            file.write(values.tobytes())


class Decoder:
    """Runs a lowered graph step by step, its states bound as the runner binds them."""

    def __init__(self, folder: Path, lowered: LoweredGraph) -> None:
        write_pool(folder, lowered)
        (folder / "candidate.onnx").write_bytes(lowered.onnx_bytes)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.optimized_model_filepath = str(folder / "optimised.onnx")
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(
            folder / "candidate.onnx", options, providers=["CPUExecutionProvider"]
        )
        self.lowered = lowered
        self.states = {s.input_name: _buffer(s.shape) for s in lowered.states}
        self.seen = 0

    def step(self, ids: np.ndarray) -> np.ndarray:
        self.seen += ids.shape[1]
        binding = self.session.io_binding()
        binding.bind_cpu_input("input_ids", ids)
        if self.lowered.uses_sequence_lengths:
            binding.bind_cpu_input("seqlens_k", np.full(ids.shape[0], self.seen - 1, np.int32))
            binding.bind_cpu_input("total_sequence_length", np.array(self.seen, np.int32))
        binding.bind_output("logits")
        following = {}
        for state in self.lowered.states:
            past = self.states[state.input_name]
            following[state.input_name] = past if state.shared_buffer else _buffer(state.shape)
            binding.bind_ortvalue_input(state.input_name, past)
            binding.bind_ortvalue_output(state.output_name, following[state.input_name])
        self.session.run_with_iobinding(binding)
        self.states = following
        return binding.get_outputs()[0].numpy()[:, 0]


def _buffer(shape: tuple[int, ...]) -> onnxruntime.OrtValue:
    return onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(shape, np.float32))


def cosines(
    folder: Path, architecture: Architecture, precision: Precision, prompt: int, decoded: int
) -> list[float]:
    lowered = lower(architecture, context_capacity=prompt + decoded + 3, precision=precision)
    ids = np.random.default_rng(1).integers(0, architecture.vocab_size, (1, prompt + decoded))
    decoder = Decoder(folder, lowered)
    rows = [decoder.step(ids[:, :prompt])] + [
        decoder.step(ids[:, prompt + i : prompt + i + 1]) for i in range(decoded)
    ]
    expected = np.array(
        expected_logits(
            architecture,
            lowered,
            precision,
            SEED,
            ids[0, :prompt],
            ids[0, prompt:],
            range(architecture.vocab_size),
        )
    )
    return [
        float(a[0] @ b / np.linalg.norm(a) / np.linalg.norm(b)) for a, b in zip(rows, expected, strict=True)
    ]


@pytest.mark.parametrize("layout", ["C", "A", "S", "D", "L", "CASDL", "CCACS"])
@pytest.mark.parametrize(
    "precision", [INT4, INT8, Precision(4, 64), Precision(4, 128)], ids=lambda p: p.label
)
def test_prefill_and_decode_agree_with_torch_on_the_same_weights(
    layout: str, precision: Precision, tmp_path: Path
) -> None:
    assert min(cosines(tmp_path, an_architecture(layout), precision, prompt=40, decoded=4)) > 0.995


@pytest.mark.parametrize("prompt", [1, 15, 16, 17, 100])
def test_the_rolling_cache_agrees_around_the_window(prompt: int, tmp_path: Path) -> None:
    assert min(cosines(tmp_path, an_architecture("SS"), INT4, prompt=prompt, decoded=90)) > 0.995


@pytest.mark.parametrize(
    "fields", [{"norm_placement": "sandwich", "embedding_scale": 11.3}, {"tie_embeddings": False}]
)
def test_sandwich_norms_scaled_and_untied_embeddings_agree(fields: dict[str, object], tmp_path: Path) -> None:
    assert min(cosines(tmp_path, an_architecture("CA", **fields), INT4, prompt=20, decoded=3)) > 0.995


def test_a_batch_of_prompts_gives_each_its_own_logits(tmp_path: Path) -> None:
    architecture = an_architecture("CASDL")
    ids = np.random.default_rng(2).integers(0, 512, (4, 30))
    together = Decoder(tmp_path, lower(architecture, 64, INT4, batch=4)).step(ids)
    for row in range(4):
        alone = Decoder(tmp_path, lower(architecture, 64, INT4)).step(ids[row : row + 1])
        np.testing.assert_allclose(together[row], alone[0], rtol=2e-2, atol=2e-2)


FAST_KERNELS = {
    "C": {"MatMulNBits": 5, "GatherBlockQuantized": 1, "CausalConvWithState": 1},
    "A": {"MatMulNBits": 5, "GatherBlockQuantized": 1, "GroupQueryAttention": 1},
    "S": {"MatMulNBits": 5, "GatherBlockQuantized": 1, "GroupQueryAttention": 1},
    "D": {
        "MatMulNBits": 5,
        "CausalConvWithState": 1,
        "LinearAttention": 1,
        "LinearAttentionGate": 1,
        "GatedRMSNorm": 1,
    },
    "L": {"MatMulNBits": 5, "LinearAttention": 1, "LinearAttentionGate": 1, "GatedRMSNorm": 1},
}
ALLOWED = {
    "CausalConvWithState",
    "Concat",
    "GatedRMSNorm",
    "GatherBlockQuantized",
    "GroupQueryAttention",
    "LinearAttention",
    "LinearAttentionGate",
    "MatMul",
    "MatMulNBits",
    "Mul",
    "QuickGelu",
    "Reshape",
    "SimplifiedLayerNormalization",
    "SkipSimplifiedLayerNormalization",
    "Slice",
    "Split",
}


@pytest.mark.parametrize("layout", FAST_KERNELS)
def test_the_optimised_graph_holds_the_fast_kernels_and_no_slow_fallback(layout: str, tmp_path: Path) -> None:
    Decoder(tmp_path, lower(an_architecture(layout), 64, INT4))
    optimised = onnx.load(tmp_path / "optimised.onnx", load_external_data=False)
    kinds = Counter(node.op_type for node in optimised.graph.node)
    assert {kind: kinds[kind] for kind in FAST_KERNELS[layout]} == FAST_KERNELS[layout]
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


def test_a_width_that_blocks_do_not_divide_is_refused() -> None:
    with pytest.raises(LoweringError, match="block size 32"):
        lower(an_architecture("C", hidden_size=100), 64, INT4)
