"""Environment that every test shares: ONNX Runtime's telemetry is off before its library loads."""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
