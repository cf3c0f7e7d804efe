"""The token mixers, one file each: config, closed-form cost, torch module, naive reference and ONNX lowering."""
