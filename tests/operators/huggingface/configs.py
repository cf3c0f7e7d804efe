"""Small configs of every family that Loopfront reads, as transformers writes them."""

from typing import Any

SHAPE: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "vocab_size": 100,
    "tie_word_embeddings": True,
}
TOKENS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}

CONFIGS: dict[str, dict[str, Any]] = {
    "lfm2": {
        **SHAPE,
        "intermediate_size": 400,  # which LFM2 makes 512 of
        "num_hidden_layers": 3,
        "layer_types": ["conv", "full_attention", "conv"],
        "norm_eps": 1e-5,
    },
    "lfm3": {
        **SHAPE,
        **TOKENS,
        "num_hidden_layers": 4,
        "layer_types": ["conv", "full_attention", "sliding_attention", "conv"],
        "sliding_window": 7,
    },
    "gemma3_text": {
        **SHAPE,
        "query_pre_attn_scalar": 32,
        "num_hidden_layers": 3,
        "sliding_window": 7,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
    },
    "qwen3": {**SHAPE, "num_hidden_layers": 2, "tie_word_embeddings": False},
    "qwen3_5_text": {
        **SHAPE,
        "head_dim": 64,
        "num_hidden_layers": 3,
        "layer_types": ["linear_attention", "full_attention", "linear_attention"],
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_key_head_dim": 32,
        "linear_value_head_dim": 32,
    },
}
