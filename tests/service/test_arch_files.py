"""Architectures come in from Hugging Face configs and leave as folders, by the commands that a user types."""

import json
import os
from pathlib import Path

import pytest
from command_line import loopfront, loopfront_within

from operators.huggingface.families import native_config
from operators.references import reference


def a_config(folder: Path, **changes: object) -> Path:
    found = native_config(reference("lfm2-350m"))
    assert found is not None
    path = folder / "config.json"
    path.write_text(json.dumps({**found[1], **changes}))
    return path


def test_a_config_is_shown_and_kept_as_a_document_that_every_command_reads(tmp_path: Path) -> None:
    out = tmp_path / "mine.json"
    done = loopfront("arch", "import", str(a_config(tmp_path)), "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert "354.48 M" in done.stdout
    shown = json.loads(loopfront("arch", "show", str(out), "--json").stdout)
    assert shown["architecture"] == reference("lfm2-350m").to_dict()
    again = loopfront("arch", "import", str(a_config(tmp_path)), "--out", str(out))
    assert (again.returncode, again.stderr.count("\n")) == (2, 1)
    assert "exists already" in again.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"model_type": "llama"}', "model_type: 'llama' can't be used; use a config of qwen3"),
        ("[1, 2]", "holds no keys and values"),
        (
            '{"model_type": "qwen3", "vocab_size": 1, "vocab_size": 2}',
            "the key 'vocab_size' stands twice in it",
        ),
        ('{"model_type": "qwen3", "hidden_size": "' + 500 * "9" + '"}', "(502 characters) can't be used"),
        (
            '{"model_type": "qwen3", "num_hidden_layers": 1000000000}',
            "num_hidden_layers: 1000000000 can't be used",
        ),
        ("{", "isn't JSON"),
        ("\\ud800", "isn't JSON"),
    ],
)
def test_a_corrupt_config_is_one_line_and_exit_code_2(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    done = loopfront_within("arch", "import", str(path))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert words in done.stderr


def test_a_model_that_is_too_large_to_measure_is_shown_and_not_exported(tmp_path: Path) -> None:
    config, document = tmp_path / "config.json", str(tmp_path / "large.json")
    config.write_text('{"model_type": "qwen3"}')
    assert loopfront_within("arch", "import", str(config), "--out", document).returncode == 0
    assert "12049.46 M" in loopfront_within("arch", "show", document).stdout
    done = loopfront_within("arch", "export", document, "--out", str(tmp_path / "out"))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "12049461248 parameters; at most 4000000000" in done.stderr


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.json")
    done = loopfront_within("arch", "import", str(tmp_path / "config.json"))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "is no file" in done.stderr


def test_an_unsupported_feature_is_refused_by_name(tmp_path: Path) -> None:
    done = loopfront_within("arch", "import", str(a_config(tmp_path, conv_bias=True)))
    assert done.returncode == 2
    assert "conv_bias: True can't be used; not supported" in done.stderr


@pytest.mark.parametrize(
    ("form", "files"),
    [
        ("hf", {"config.json", "model.safetensors", "modeling_loopfront.py", "loopfront_model.py"}),
        ("onnx", {"model.onnx", "pool.bin", "manifest.json"}),
        ("torch", {"model.py"}),
    ],
)
def test_a_layout_is_exported_in_every_format(form: str, files: set[str], tmp_path: Path) -> None:
    size = ("--parameters", "3M", "--vocabulary", "2048")
    done = loopfront("arch", "export", "CASDL", *size, "--format", form, "--out", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == files
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_cannot_be_exported_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    for arguments, words in (
        (("lfm2-350m", "--format", "gguf", "--out", out), "--format: 'gguf' is not a format"),
        (("lfm2-350m", "--format", "onnx", "--bits", "3", "--out", out), "bits"),
        (("CCA", "--format", "onnx", "--context-tokens", "0", "--out", out), "a context of 0 tokens: use 28"),
        (("CCA", "--format", "onnx", "--seed", "7", "--out", out), "--seed: says nothing of onnx"),
        (("CCA", "--bits", "8", "--out", out), "--bits: says nothing of hf"),
        (
            ("CCA", "--seed", "99999999999999999999999", "--out", out),
            "--seed: 99999999999999999999999 can't be used",
        ),
        (("pocket/x", "--out", out), "name a trial by its number"),
        (("nothing.json", "--out", out), "can't be read"),
        (("CCA", "--parameters", "3M", "--vocabulary", "2048", "--out", str(tmp_path)), "exists already"),
    ):
        done = loopfront_within("arch", "export", *arguments)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert words in done.stderr
    assert list(tmp_path.iterdir()) == []
