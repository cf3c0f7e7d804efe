"""Writes an architecture with given weights as a GGUF file that llama.cpp runs, every matrix at Q4_0."""

from collections.abc import Mapping
from pathlib import Path

import gguf
import numpy as np
from torch import Tensor

from operators.architecture import Architecture
from operators.huggingface.families import native_config
from operators.mixer import Mixer
from operators.mixers.gated_delta_net import GatedDeltaNet
from operators.mixers.grouped_query_attention import GroupQueryAttention
from operators.mixers.short_conv import ShortConv
from operators.mixers.sliding_window_attention import SlidingWindowAttention

ARCHITECTURES = {
    "lfm2": gguf.MODEL_ARCH.LFM2,
    "gemma3_text": gguf.MODEL_ARCH.GEMMA3,
    "qwen3": gguf.MODEL_ARCH.QWEN3,
    "qwen3_5_text": gguf.MODEL_ARCH.QWEN35,
}
BLOCK = 32
LARGEST_CODE = 7
CONTEXT_LENGTH = 32768


def write_gguf(path: Path, architecture: Architecture, weights: Mapping[str, Tensor]) -> None:
    """Write `path`; `weights` are named as those of `operators.model.LanguageModel`."""
    native = native_config(architecture)
    assert native is not None, "llama.cpp knows published families only"
    family = native[0]
    kind = ARCHITECTURES[family.model_type]
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[kind])
    _write_keys(writer, architecture)
    names = gguf.get_tensor_name_map(kind, len(architecture.blocks))
    for theirs, tensor in family.tensors(architecture, weights).items():
        # GGUF holds the gains themselves, which some checkpoints store as their distance from 1.
        name, values = _renamed(names, theirs), tensor.detach().float().squeeze().numpy()
        if theirs.endswith("norm.weight") and family.model_type in ("gemma3_text", "qwen3_5_text"):
            values = values if "linear_attn" in theirs else values + 1
        if theirs.endswith("A_log"):
            values = -np.exp(values)
        _add(writer, name, values, quantised=values.ndim == 2 and "conv" not in name.split(".")[-2])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _renamed(names: gguf.TensorNameMap, theirs: str) -> str:
    if theirs.endswith("dt_bias"):
        theirs = theirs.replace("dt_bias", "dt_proj.bias")
    found = names.get_name(theirs, try_suffixes=(".weight", ".bias"))
    assert found is not None, f"GGUF has no name for {theirs}"
    return found


def _add(writer: gguf.GGUFWriter, name: str, values: np.ndarray, quantised: bool) -> None:
    if not quantised:
        writer.add_tensor(name, np.ascontiguousarray(values, np.float32))
        return
    writer.add_tensor(name, to_q4_0(values), raw_dtype=gguf.GGMLQuantizationType.Q4_0)


def to_q4_0(values: np.ndarray) -> np.ndarray:
    """Quantise (rows, columns) to Q4_0: blocks of 32 with an fp16 scale and codes around 8.

    The scale is a seventh of the largest magnitude, which gives back the codes of weights that were drawn as
    Loopfront's pool draws them; llama.cpp's own quantiser would round them a second time.
    """
    rows, columns = values.shape
    blocks = values.reshape(rows, columns // BLOCK, BLOCK)
    scales = (np.abs(blocks).max(axis=-1, keepdims=True) / LARGEST_CODE).astype(np.float16)
    divisors = np.where(scales == 0, 1, scales).astype(np.float32)
    codes = (np.clip(np.round(blocks / divisors), -8, 7) + 8).astype(np.uint8)
    packed = codes[..., : BLOCK // 2] | codes[..., BLOCK // 2 :] << 4
    return np.concatenate([scales.view(np.uint8), packed], axis=-1).reshape(rows, -1)


def _write_keys(writer: gguf.GGUFWriter, architecture: Architecture) -> None:
    writer.add_block_count(len(architecture.blocks))
    writer.add_context_length(CONTEXT_LENGTH)
    writer.add_embedding_length(architecture.hidden_size)
    writer.add_feed_forward_length(architecture.blocks[0].ffn.width)
    writer.add_layer_norm_rms_eps(architecture.norm_epsilon)
    writer.add_vocab_size(architecture.vocab_size)
    writer.add_tokenizer_model("no_vocab")
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_0)
    mixers = [block.mixer for block in architecture.blocks]
    _write_attention(writer, mixers)
    for mixer in dict.fromkeys(mixers):
        _write_mixer(writer, mixer)


def _write_attention(writer: gguf.GGUFWriter, mixers: list[Mixer]) -> None:
    attention = next(m for m in reversed(mixers) if isinstance(m, GroupQueryAttention))
    has_convs = any(isinstance(mixer, ShortConv) for mixer in mixers)
    writer.add_head_count(attention.heads)
    counts = [m.kv_heads if isinstance(m, GroupQueryAttention) else 0 for m in mixers]
    writer.add_head_count_kv(counts if has_convs else attention.kv_heads)
    writer.add_key_length(attention.head_size)
    writer.add_value_length(attention.head_size)
    writer.add_rope_freq_base(attention.rotary_base)
    writer.add_rope_dimension_count(attention.rotation.rotated_size)


def _write_mixer(writer: gguf.GGUFWriter, mixer: Mixer) -> None:
    match mixer:
        case ShortConv():
            writer.add_shortconv_l_cache(mixer.kernel_size)
        case SlidingWindowAttention():
            writer.add_sliding_window(mixer.window)
        case GatedDeltaNet():
            writer.add_ssm_conv_kernel(mixer.conv_kernel_size)
            writer.add_ssm_state_size(mixer.key_head_size)
            writer.add_ssm_group_count(mixer.key_heads)
            writer.add_ssm_time_step_rank(mixer.value_heads)
            writer.add_ssm_inner_size(mixer.value_heads * mixer.value_head_size)
            writer.add_full_attention_interval(4)
            writer.add_rope_dimension_sections([11, 11, 10, 0])
