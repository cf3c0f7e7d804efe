"""Configs become architectures and architectures configs, or the key that stands in the way is named."""

import copy
from typing import Any

import pytest

from operators.cost import parameters
from operators.errors import ConfigError
from operators.huggingface.families import FAMILIES, native_config, read_config
from operators.references import REFERENCES, reference
from search.scaling import free_space, scale_layout
from search.space import Budget
from tests.operators.builders import an_architecture
from tests.operators.huggingface.configs import CONFIGS

# As published beside the weights, in the spelling of their time.
LFM2_350M = {
    "model_type": "lfm2", "architectures": ["Lfm2ForCausalLM"], "block_auto_adjust_ff_dim": True, "block_dim": 1024,
    "block_ff_dim": 6656, "block_ffn_dim_multiplier": 1.0, "block_mlp_init_scale": 1.0, "block_multiple_of": 256,
    "block_norm_eps": 1e-05, "block_out_init_scale": 1.0, "block_use_swiglu": True, "block_use_xavier_init": True,
    "bos_token_id": 1, "conv_L_cache": 3, "conv_bias": False, "conv_dim": 1024, "conv_dim_out": 1024,
    "conv_use_xavier_init": True, "eos_token_id": 7, "full_attn_idxs": [2, 5, 8, 10, 12, 14], "hidden_size": 1024,
    "initializer_range": 0.02, "max_position_embeddings": 128000, "norm_eps": 1e-05, "num_attention_heads": 16,
    "num_heads": 16, "num_hidden_layers": 16, "num_key_value_heads": 8, "pad_token_id": 0, "rope_theta": 1000000.0,
    "torch_dtype": "bfloat16", "use_cache": True, "use_pos_enc": True, "vocab_size": 65536,
}  # fmt: skip
GEMMA_3_270M = {
    "model_type": "gemma3_text", "_sliding_window_pattern": 6, "attention_bias": False, "attention_dropout": 0.0,
    "attn_logit_softcapping": None, "final_logit_softcapping": None, "head_dim": 256,
    "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 640, "intermediate_size": 2048, "num_attention_heads": 4,
    "num_hidden_layers": 18, "num_key_value_heads": 1, "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-06,
    "rope_local_base_freq": 10000.0, "rope_scaling": None, "rope_theta": 1000000.0, "sliding_window": 512,
    "use_bidirectional_attention": False, "vocab_size": 262144,
}  # fmt: skip
QWEN3_600M = {
    "model_type": "qwen3", "attention_bias": False, "head_dim": 128, "hidden_act": "silu", "hidden_size": 1024,
    "intermediate_size": 3072, "max_window_layers": 28, "num_attention_heads": 16, "num_hidden_layers": 28,
    "num_key_value_heads": 8, "rms_norm_eps": 1e-06, "rope_scaling": None, "rope_theta": 1000000,
    "sliding_window": None, "tie_word_embeddings": True, "use_sliding_window": False, "vocab_size": 151936,
}  # fmt: skip
QWEN35_800M = {
    "model_type": "qwen3_5_text", "attn_output_gate": True, "full_attention_interval": 4, "head_dim": 256,
    "hidden_act": "silu", "hidden_size": 1024, "intermediate_size": 3584, "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 128, "linear_num_key_heads": 16, "linear_num_value_heads": 16,
    "linear_value_head_dim": 128, "mamba_ssm_dtype": "float32", "mtp_num_hidden_layers": 1,
    "num_attention_heads": 8, "num_hidden_layers": 24, "num_key_value_heads": 2, "rms_norm_eps": 1e-06,
    "rope_parameters": {
        "mrope_interleaved": True, "mrope_section": [11, 11, 10], "partial_rotary_factor": 0.25,
        "rope_theta": 10000000, "rope_type": "default",
    },
    "tie_word_embeddings": True, "vocab_size": 248320,
}  # fmt: skip
PUBLISHED = {
    "lfm2-350m": LFM2_350M,
    "gemma-3-270m": GEMMA_3_270M,
    "qwen3-0.6b": QWEN3_600M,
    "qwen3.5-0.8b": QWEN35_800M,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_config_is_the_reference_of_that_name(name: str) -> None:
    assert read_config(PUBLISHED[name]) == reference(name)


@pytest.mark.parametrize("name", REFERENCES)
def test_every_reference_has_a_native_config_that_reads_back_as_itself(name: str) -> None:
    found = native_config(reference(name))
    assert found is not None
    assert read_config(found[1]) == reference(name)


@pytest.mark.parametrize("family", CONFIGS)
def test_a_config_written_and_read_again_is_the_same_architecture(family: str) -> None:
    architecture = read_config({"model_type": family, **CONFIGS[family]})
    again = {"model_type": family, **FAMILIES[family].write(architecture)}
    assert read_config(again) == architecture
    assert native_config(architecture) is not None


def test_a_layout_that_no_family_has_is_native_to_none() -> None:
    assert native_config(an_architecture("CASDL")) is None
    assert native_config(an_architecture("CC")) is None


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"model_type": "llama"}, "model_type", "use a config of qwen3, lfm2"),
        ({"model_type": "qwen3_5", "text_config": {}}, "model_type", "its text_config is one"),
        ({"hidden_size": 0}, "hidden_size", "must be a whole number from 1"),
        ({"hidden_size": "1024"}, "hidden_size", "must be a whole number from 1"),
        ({"hidden_size": None}, "hidden_size", "is missing"),
        ({"num_attention_heads": 13}, "num_attention_heads", "must divide hidden_size = 1024"),
        ({"num_key_value_heads": 5}, "grouped_query_attention.kv_heads", "must divide heads"),
        ({"conv_bias": True}, "conv_bias", "not supported"),
        ({"block_dim": 512}, "block_dim", "Loopfront can build 1024 here"),
        ({"rope_scaling": {"type": "yarn"}}, "rope_scaling", "not supported"),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 4.0}}, "rope_parameters.rope_type", "'default'"),
        ({"full_attn_idxs": [2, 99]}, "full_attn_idxs", "from 0 to 15"),
        ({"layer_types": ["conv"] * 15}, "layer_types", "one for each layer"),
        ({"layer_types": ["conv"] * 15 + ["mamba"]}, "layer_types[15]", "use one of conv, full_attention"),
        ({"num_experts": 8}, "num_experts", "doesn't know this key"),
        ({"norm_eps": float("nan")}, "norm_eps", "must be a positive number"),
    ],
)
def test_what_cannot_be_built_is_refused_by_its_name(changes: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        read_config({**LFM2_350M, **changes})
    assert refusal.value.field == field
    assert words in refusal.value.way_out


MISREAD = [  # each of these was once read as another model than the one transformers makes of it
    ("qwen3", {"rope_parameters": {"rope_type": "default"}, "rope_theta": 300.0}),
    ("qwen3", {"rope_parameters": {}, "rope_theta": 300.0}),
    ("qwen3", {"num_key_value_heads": None}),
    ("qwen3", {"use_sliding_window": True, "sliding_window": 7, "max_window_layers": 0}),
    ("lfm2", {"rope_parameters": {"rope_type": "default"}, "rope_theta": 300.0}),
    ("lfm2", {"rope_theta": 300.0}),
    ("lfm3", {"rope_parameters": {"sliding_attention": {"rope_type": "default"},
                                  "full_attention": {"rope_type": "proportional", "rope_theta": 300.0}}}),
    ("lfm3", {"rope_parameters": {"sliding_attention": {"rope_type": "default", "rope_theta": 300.0},
                                  "full_attention": {"rope_type": "default"}}}),
    ("gemma3_text", {"rope_theta": 300.0, "rope_local_base_freq": 200.0}),
    ("gemma3_text", {"layer_types": None, "sliding_window_pattern": 2}),
    ("qwen3_5_text", {"rope_parameters": {"rope_theta": 300.0}, "partial_rotary_factor": 0.5}),
    ("qwen3_5_text", {"rope_parameters": {"rope_type": "default"}, "rope_theta": 300.0}),
]  # fmt: skip


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(("family", "changes"), MISREAD, ids=str)
def test_a_config_is_read_as_transformers_completes_it(family: str, changes: dict[str, Any]) -> None:
    transformers = pytest.importorskip("transformers")
    given = copy.deepcopy({**CONFIGS[family], **changes})
    completed = transformers.AutoConfig.for_model(family, **copy.deepcopy(given)).to_dict()
    assert read_config({"model_type": family, **given}) == read_config(completed)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("family", FAMILIES)
def test_keys_that_a_config_leaves_out_have_the_values_that_transformers_gives_them(family: str) -> None:
    transformers = pytest.importorskip("transformers")
    completed = transformers.AutoConfig.for_model(family).to_dict()
    defaults = FAMILIES[family].defaults
    switched_off = {"sliding_window"} if completed.get("use_sliding_window") is False else set()
    assert {key: completed[key] for key in defaults.keys() - switched_off} == {
        key: defaults[key] for key in defaults.keys() - switched_off
    }
    assert read_config({"model_type": family}) == read_config(completed)


@pytest.mark.parametrize(
    ("family", "changes", "field"),
    [
        ("qwen3", {"partial_rotary_factor": 0.5}, "partial_rotary_factor"),  # which transformers ignores
        ("qwen3", {"layer_types": ["sliding_attention"] * 2}, "use_sliding_window"),
        ("qwen3", {"use_sliding_window": True, "max_window_layers": 0, "sliding_window": None}, "sliding_window"),
        ("qwen3", {"num_hidden_layers": 10**9}, "num_hidden_layers"),
        ("qwen3", {"vocab_size": 10**400}, "vocab_size"),
        ("qwen3", {"rope_theta": 10**400}, "rope_theta"),
        ("lfm2", {"block_ffn_dim_multiplier": 1e308}, "block_ffn_dim_multiplier"),
        ("lfm3", {"norm_eps": 1e-2, "rms_norm_eps": 1e-1}, "rms_norm_eps"),
        ("lfm3", {"rope_parameters": {"sliding_attention": {"partial_rotary_factor": 0.5}}},
         "rope_parameters.sliding_attention.partial_rotary_factor"),
        ("gemma3_text", {"layer_types": None, "_sliding_window_pattern": 7}, "_sliding_window_pattern"),
        ("gemma3_text", {"query_pre_attn_scalar": None}, "query_pre_attn_scalar"),
    ],
    ids=str,
)  # fmt: skip
def test_what_would_be_read_as_another_model_is_refused_by_its_name(
    family: str, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(ConfigError) as refusal:
        read_config({"model_type": family, **CONFIGS[family], **changes})
    assert refusal.value.field == field


def test_keys_that_ask_for_nothing_are_passed_over() -> None:
    extra = {
        "cache_implementation": "hybrid",
        "mlp_only_layers": [],
        "anything": {},
        "tokenizer_class": "Gemma",
    }
    assert read_config({**GEMMA_3_270M, **extra}) == reference("gemma-3-270m")


@pytest.mark.parametrize(
    ("layout", "family"), [("CCACCACCACACACAC", "lfm2"), ("AAAAAAAA", "qwen3"), ("SSASSASSASSA", "qwen3")]
)
def test_a_candidate_of_a_published_familys_layout_is_native_to_it(layout: str, family: str) -> None:
    space = free_space(layout, 32768)
    found = native_config(scale_layout(layout, space, Budget(60_000_000)))
    assert found is not None and found[0].model_type == family


def test_scores_scaled_by_anything_but_the_heads_size_are_refused() -> None:
    with pytest.raises(ConfigError, match="query_pre_attn_scalar = 168"):
        read_config({**GEMMA_3_270M, "query_pre_attn_scalar": 168})


@pytest.mark.parametrize(
    ("name", "total", "ratio"),
    [
        ("lfm2-350m", 354_483_968, 0.189),
        ("lfm2-700m", 742_489_344, 0.136),
        ("gemma-3-270m", 268_098_176, 0.626),
        ("qwen3.5-0.8b", 752_393_024, 0.338),
        ("qwen3-0.6b", 596_049_920, 0.261),
    ],
)
def test_the_references_have_exactly_the_published_totals(name: str, total: int, ratio: float) -> None:
    count = parameters(reference(name))
    assert count.total == total
    assert round(count.embedding_ratio, 3) == ratio
