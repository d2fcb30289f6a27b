"""The service as a process: its port, what it takes at once, its file, and the order to stop."""

import io
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from crnnkit.errors import ConfigError
from crnnkit.serving import server
from crnnkit.serving.client import post
from crnnkit.serving.config import ServerConfig
from crnnkit.serving.models import LocalReader, ServedModel

SERVE = [sys.executable, "-u", "-c", "from crnnkit.cli.app import main; main()", "serve"]


def png() -> bytes:
    """A picture with ink."""
    image = np.full((60, 90), 255, np.uint8)
    image[10:20, 10:50] = 0
    encoded = io.BytesIO()
    Image.fromarray(image).save(encoded, "PNG")
    return encoded.getvalue()


def asked(address: str) -> dict:
    """JSON of a page that is answered at once."""
    with urllib.request.urlopen(address, timeout=10) as response:
        return json.load(response)


def test_a_taken_port_is_told_with_a_remedy(onnx_path, monkeypatch):
    kept_small: list[bool] = []
    monkeypatch.setattr(server.memory, "keep_small", lambda: kept_small.append(True))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"127\.0\.0\.1:{port}.*Choose another --port"):
            server.serve(onnx_path, port=port)
    assert kept_small == [True]  # before any thread was started


def test_a_body_far_over_the_limit_is_refused_before_it_is_taken(onnx_path):
    running = server.start(onnx_path, ServerConfig(max_upload_mb=1))
    try:
        host, port = running.address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            head = "POST /api/ocr HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000\r\n\r\n"
            connection.sendall(head.encode())
            assert connection.recv(100).startswith(b"HTTP/1.1 413")
    finally:
        running.stop()


def test_a_full_service_refuses_and_tells_its_health_at_once(
    fake_model, held_reader, tmp_path, monkeypatch, wait_until
):
    (tmp_path / "a.png").write_bytes(png())
    held = ServedModel(fake_model.path, load=lambda path: LocalReader(held_reader))
    monkeypatch.setattr(server, "ServedModel", lambda path: held)
    running = server.start("any.onnx", ServerConfig(threads=1, queue=1))
    with ThreadPoolExecutor(3) as pool:
        calls = [
            pool.submit(post, f"{running.address}/api/ocr", [tmp_path / "a.png"]) for _ in range(3)
        ]
        try:
            wait_until(lambda: any(call.done() for call in calls))
            assert asked(f"{running.address}/healthz")["status"] == "ok"
        finally:
            held_reader.may_end.set()
        assert sorted(call.result(20).status for call in calls) == [200, 200, 503]
    running.stop()


def test_the_command_watches_its_file_and_ends_when_told_to(onnx_path, tmp_path, wait_until):
    served = tmp_path / "serving.onnx"
    shutil.copy(onnx_path, served)
    command = [*SERVE, "--model", str(served), "--port", "0", "--processes", "2"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        watchdog = threading.Timer(60, process.kill)
        watchdog.start()
        try:
            address = re.search(r"http://[\d.]+:\d+", process.stderr.readline()).group()
            assert asked(f"{address}/readyz")["fault"] is None
            served.write_bytes(b"no model")
            wait_until(lambda: asked(f"{address}/readyz")["fault"] is not None)
            process.terminate()
            assert process.wait() == 0
        finally:
            process.kill()
            watchdog.cancel()


SERVE_SLOWLY = """
import signal, sys, time
from crnnkit.serving import models, server

signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell starts what ends in &

class SlowReader:
    name = "slow.onnx"
    vocab = None
    def read(self, task):
        print("reading", file=sys.stderr, flush=True)
        time.sleep(1)
        return [[]]

server.ServedModel = lambda path: models.ServedModel(sys.executable, load=lambda path: SlowReader())
server.serve("any.onnx", port=0)
"""


def test_sigterm_lets_the_request_at_hand_finish():
    command = [sys.executable, "-u", "-c", SERVE_SLOWLY]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        watchdog = threading.Timer(60, process.kill)
        watchdog.start()
        try:
            port = re.search(r"http://127\.0\.0\.1:(\d+)", process.stderr.readline()).group(1)
            with socket.create_connection(("127.0.0.1", int(port))) as connection:
                connection.sendall(raw_request(png()))
                # waitress warns first if the request came before its threads were up
                assert "reading\n" in iter(process.stderr.readline, "")
                process.send_signal(signal.SIGTERM)
                answer = b"".join(iter(lambda: connection.recv(65536), b""))
            assert process.wait() == 0
        finally:
            process.kill()
            watchdog.cancel()
    assert answer.startswith(b"HTTP/1.1 200")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["text"] == []


def raw_request(picture: bytes) -> bytes:
    """A request as it goes over the wire."""
    body = (
        b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
        + picture
        + b"\r\n--b--\r\n"
    )
    head = (
        "POST /api/ocr HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
