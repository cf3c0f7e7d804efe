"""What leaves Loopfront: a standalone torch file, a Hugging Face folder, an ONNX folder; each is read back first."""
