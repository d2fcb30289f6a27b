import os
import subprocess
import sys

import onnxruntime
import pytest

from crnnkit.serving.models import load_reader
from crnnkit.serving.network import SPINNING
from crnnkit.serving.recognizer import Recognizer


def test_onnxruntime_tells_nobody_which_model_is_read(onnx_path, tmp_path):
    """Where its telemetry is on, it leaves a device's name and a queue of reports at home."""
    off = ("CI", "ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")  # they would turn it off, or move it
    env = {name: value for name, value in os.environ.items() if name not in off}
    code = "import sys; from crnnkit.serving.recognizer import Recognizer as R; R.load(sys.argv[1])"
    command = [sys.executable, "-c", code, str(onnx_path)]
    subprocess.run(command, env=env | {"HOME": str(tmp_path)}, timeout=120, check=True)
    assert [path for path in tmp_path.rglob("*") if "onnxruntime" in path.name.lower()] == []


@pytest.mark.parametrize(("load", "spins"), [(load_reader, "0"), (Recognizer.load, "1")])
def test_idle_threads_leave_the_service_its_cores(onnx_path, monkeypatch, load, spins):
    made: list[str] = []

    class Watched(onnxruntime.InferenceSession):
        def __init__(self, content, options, *args, **kwargs):
            made.append(options.get_session_config_entry(SPINNING))
            super().__init__(content, options, *args, **kwargs)

    monkeypatch.setattr(onnxruntime, "InferenceSession", Watched)
    load(onnx_path)
    assert made == [spins]
