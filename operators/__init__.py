"""What a candidate is: architecture values, torch modules, ONNX lowering and closed-form cost."""
