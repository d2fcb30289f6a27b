"""What `crnnkit serve` hands on."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from crnnkit.cli.app import app
from crnnkit.serving.config import ServerConfig
from crnnkit.serving.threads import usable_cores


def served_with(monkeypatch: pytest.MonkeyPatch, *options: str, **env: str) -> tuple:
    calls: list[tuple] = []
    monkeypatch.setattr("crnnkit.serving.server.serve", lambda *args: calls.append(args))
    result = CliRunner(env=env).invoke(app, ["serve", *options])
    assert result.exit_code == 0, result.output
    return calls[0]


def test_without_options_the_settings_are_the_services_own(monkeypatch):
    monkeypatch.delenv("CRNNKIT_API_KEY", raising=False)
    model, host, port, config = served_with(monkeypatch)
    assert (model, host, port) == (Path("checkpoints/serving.onnx"), "127.0.0.1", 5000)
    assert config == ServerConfig(processes=min(usable_cores(), 8))
    assert served_with(monkeypatch, CRNNKIT_API_KEY="")[3].api_key is None  # as compose.yaml has it


def test_every_option_reaches_the_service(monkeypatch):
    options = "--model m.onnx --host 0.0.0.0 --port 80 --processes 7 --threads 2 --queue 3"
    options += " --max-upload-mb 4 --max_images 5 --feedback kept --feedback-days 6"
    *place, config = served_with(monkeypatch, *options.split(), CRNNKIT_API_KEY="secret")
    assert place == [Path("m.onnx"), "0.0.0.0", 80]
    assert config == ServerConfig(4, 5, 7, 2, 3, "secret", Path("kept"), 6)
