"""The container's health check asks the port that the service was started with."""

import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from crnnkit.errors import ConfigError
from crnnkit.serving import healthcheck

SERVE = [sys.executable, "-u", "-c", "from crnnkit.cli.app import main; main()", "serve"]


@pytest.mark.parametrize(
    ("command", "address"),
    [
        ("crnnkit serve", "http://127.0.0.1:5000"),  # the defaults of the command
        ("python crnnkit serve --host 0.0.0.0 --model m.onnx", "http://127.0.0.1:5000"),
        ("/dev/init -- crnnkit serve --host 0.0.0.0 --port 5023", "http://127.0.0.1:5023"),
        ("crnnkit serve --port=5023 --queue 3 --host 10.0.0.7", "http://10.0.0.7:5023"),
        ("crnnkit serve --port 5023 --port 5024 --host ::", "http://[::1]:5024"),
    ],
)
def test_the_address_is_that_of_the_command_line(command, address):
    assert healthcheck.address_of(command.split()) == address


@pytest.mark.parametrize(
    ("command", "reason"),
    [("crnnkit serve --port 0", "--port 0"), ("sleep 9", "no crnnkit serve, but 'sleep 9'")],
)
def test_what_has_no_known_address_is_told(command, reason):
    with pytest.raises(ConfigError, match=reason):
        healthcheck.address_of(command.split())


@pytest.fixture
def port() -> int:
    """A port that is free."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


def test_a_service_on_a_port_of_its_own_is_found_ready_and_then_gone(onnx_path, port, tmp_path):
    command = [*SERVE, "--model", str(onnx_path), "--host", "0.0.0.0", "--port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        watchdog = threading.Timer(60, process.kill)
        watchdog.start()
        try:
            assert any("crnnkit serves on" in line for line in process.stderr)
            command_line = Path(f"/proc/{process.pid}/cmdline")
            healthcheck.main(command_line)
            (tmp_path / "cmdline").write_bytes(command_line.read_bytes())
            process.terminate()
            assert process.wait() == 0
        finally:
            process.kill()
            watchdog.cancel()
    with pytest.raises(SystemExit, match=rf"127\.0\.0\.1:{port}.*refused"):
        healthcheck.main(tmp_path / "cmdline")


def test_who_answers_but_is_not_ready_is_not_well(tmp_path):
    class Draining(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(503 if self.path == "/readyz" else 404)

    with HTTPServer(("127.0.0.1", 0), Draining) as server:
        (tmp_path / "cmdline").write_bytes(f"serve\0--port\0{server.server_port}\0".encode())
        threading.Thread(target=server.handle_request).start()
        with pytest.raises(SystemExit, match="503"):
            healthcheck.main(tmp_path / "cmdline")
