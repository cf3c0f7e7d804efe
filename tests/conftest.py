"""Environment that every test shares: ONNX Runtime's telemetry is off before it loads, and phones are left alone."""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ["LOOPFRONT_AGENT_PHONES"] = "0"  # no test may start, or find, the adb server of whoever runs it
