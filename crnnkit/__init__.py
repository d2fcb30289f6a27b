"""Adapt a CRNN text recogniser to your own domain, on an ordinary computer."""

import os

__version__ = "0.1.0"

# From 1.29 on, onnxruntime tells its makers the name and hash of every model that is loaded,
# unless this is set before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
