import os
import subprocess
import sys

import onnxruntime
import pytest

from crnnkit.serving import network
from crnnkit.serving.models import load_reader
from crnnkit.serving.recognizer import Recognizer


def test_onnxruntime_tells_nobody_which_model_is_read(onnx_path, tmp_path):
    """Where its telemetry is on, it leaves a device's name and a queue of reports at home."""
    off = ("CI", "ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")  # they would turn it off, or move it
    env = {name: value for name, value in os.environ.items() if name not in off}
    code = "import sys; from crnnkit.serving.recognizer import Recognizer as R; R.load(sys.argv[1])"
    command = [sys.executable, "-c", code, str(onnx_path)]
    subprocess.run(command, env=env | {"HOME": str(tmp_path)}, timeout=120, check=True)
    assert [path for path in tmp_path.rglob("*") if "onnxruntime" in path.name.lower()] == []


@pytest.mark.parametrize(("load", "threads"), [(load_reader, 1), (Recognizer.load, 3)])
def test_the_service_computes_a_batch_in_one_thread_and_others_in_all(
    onnx_path, monkeypatch, load, threads
):
    made: list[int] = []

    class Watched(onnxruntime.InferenceSession):
        def __init__(self, content, options, *args, **kwargs):
            made.append(options.intra_op_num_threads)
            super().__init__(content, options, *args, **kwargs)

    monkeypatch.setattr(onnxruntime, "InferenceSession", Watched)
    monkeypatch.setattr(network, "usable_cores", lambda: 3)
    load(onnx_path)
    assert made == [threads]


def test_a_loaded_network_does_not_keep_the_content_of_its_file(onnx_path, monkeypatch):
    made: list[onnxruntime.InferenceSession] = []

    class Watched(onnxruntime.InferenceSession):
        def __init__(self, *args, **kwargs):
            made.append(self)
            super().__init__(*args, **kwargs)

    monkeypatch.setattr(onnxruntime, "InferenceSession", Watched)
    Recognizer.load(onnx_path)
    content = onnx_path.read_bytes()
    assert content not in list(vars(made[0]).values())
