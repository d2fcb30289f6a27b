"""A service in the background, asked over HTTP while its model is swapped."""

import json
import shutil
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import onnx
import pytest
from PIL import Image

from crnnkit.serving.client import post
from crnnkit.serving.config import ServerConfig
from crnnkit.serving.server import start


@pytest.fixture
def picture(tmp_path, make_line):
    Image.fromarray(make_line("北京市 12")).save(tmp_path / "行.png")
    return tmp_path / "行.png"


def test_pictures_and_options_arrive_and_refusals_are_told(onnx_path, recognizer, picture):
    service = start(onnx_path, ServerConfig(api_key="secret"))
    url = f"{service.address}/api/ocr"
    one = post(url, [picture], {"chars": "1"}, "secret")
    two = post(url, [picture, picture], api_key="secret")
    refused = [post(url, [picture]), post(url, [], {}, "secret")]
    service.stop()
    expected = [line.text for line in recognizer.read_page(picture)]
    assert one.status == 200
    assert [line["text"] for line in one.body["text"]] == expected
    assert len(one.body["text"][0]["chars"]) == len(expected[0])
    assert [len(result["text"]) for result in two.body["results"]] == [1, 1]
    assert [(answer.status, answer.body["error"]["code"]) for answer in refused] == [
        (401, "no_key"),
        (400, "no_image"),
    ]
    with pytest.raises(OSError, match="refused"):
        post(url, [picture])


def test_a_file_copied_over_the_served_one_is_taken_up_and_no_request_fails(
    onnx_path, picture, tmp_path
):
    served, other = tmp_path / "serving.onnx", tmp_path / "other.onnx"
    shutil.copy(onnx_path, served)
    network = onnx.load(onnx_path)
    network.doc_string = "the same in other bytes"
    onnx.save(network, other)
    service = start(served)
    stop = threading.Event()

    def keep_asking() -> set[int]:
        statuses = set()
        while not stop.is_set():
            statuses.add(post(f"{service.address}/api/ocr", [picture]).status)
        return statuses

    with ThreadPoolExecutor(3) as pool:
        clients = [pool.submit(keep_asking) for _ in range(3)]
        before = post(f"{service.address}/api/models/reload").body["current"]["sha256"]
        copied_at = time.monotonic()
        shutil.copy(other, served)
        while (now := models(service.address))["current"]["sha256"] == before:
            assert time.monotonic() < copied_at + 2
            time.sleep(0.05)
        shutil.copy(picture, served)  # and something that is no model
        while (then := models(service.address))["fault"] is None:
            assert time.monotonic() < copied_at + 6
            time.sleep(0.05)
        stop.set()
        assert [client.result(30) for client in clients] == [{200}] * 3
    service.stop()
    assert now["previous"]["sha256"] == before
    assert then["current"] == now["current"]
    assert "serving.onnx: no readable ONNX file" in then["fault"]


def models(address: str) -> dict:
    with urllib.request.urlopen(f"{address}/api/models", timeout=20) as response:
        return json.load(response)
