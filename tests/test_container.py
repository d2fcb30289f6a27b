"""The image: described as promised, and built and run where there is a builder.

Built without network beyond pip's; the base image must lie in the builder's storage already.
"""

import json
import re
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from crnnkit.cli.app import app
from crnnkit.serving import healthcheck
from crnnkit.serving.client import post
from crnnkit.serving.server import DRAIN_SECONDS

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
IMAGE = "crnnkit-test"
PORT = 5017


def instructions(name: str) -> list[str]:
    """Give the arguments of every instruction of a kind, continued lines joined."""
    joined = DOCKERFILE.replace("\\\n", " ")
    return re.findall(rf"^{name} (.+)$", joined, re.MULTILINE)


def test_the_image_runs_as_nobody_in_particular_and_says_how_it_is():
    assert int(instructions("USER")[-1]) >= 10_000
    (check,) = instructions("HEALTHCHECK")
    assert json.loads(check.partition("CMD ")[2]) == ["python3", "-m", healthcheck.__name__]
    assert json.loads(instructions("VOLUME")[0]) == ["/models", "/feedback"]
    assert "torch" not in "".join(instructions("RUN") + instructions("COPY"))


def test_every_base_has_a_version():
    bases = [base.split()[0] for base in instructions("FROM")]
    assert bases
    assert all(re.fullmatch(r"python:3\.1[123]-slim-\w+", base) for base in bases)


def test_the_commands_options_exist():
    entry, default = (json.loads(instructions(name)[0]) for name in ("ENTRYPOINT", "CMD"))
    help_text = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["serve", "--help"]).stdout
    assert entry[:2] == ["crnnkit", "serve"]
    service = COMPOSE["services"]["crnnkit"]
    for option in [*entry[2:], *default, *service["command"]]:
        assert not option.startswith("--") or option in help_text, option


def test_compose_takes_away_what_the_service_does_not_need():
    service = COMPOSE["services"]["crnnkit"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert int(service["stop_grace_period"].rstrip("s")) > DRAIN_SECONDS
    targets = {volume.split(":")[1] for volume in service["volumes"]}
    assert targets == set(json.loads(instructions("VOLUME")[0]))


def test_compose_reads_its_file():
    """Unknown keys and values of the wrong kind are faults to it; no engine is needed."""
    tools = (["docker-compose"], ["docker", "compose"])
    found = [t for t in tools if shutil.which(t[0]) and runs(*t, "version")]
    if not found:
        pytest.skip("not run: no docker compose")
    command = [*found[0], "-f", "compose.yaml", "config", "--format", "json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    service = json.loads(done.stdout)["services"]["crnnkit"]
    models, feedback = service["volumes"]
    assert (models["type"], models["read_only"]) == ("bind", True)
    assert (feedback["type"], feedback.get("read_only", False)) == ("volume", False)


def runs(*command: str) -> bool:
    """Whether a command ends well."""
    return subprocess.run(command, capture_output=True).returncode == 0


@pytest.mark.slow
def test_hadolint_finds_nothing():
    if shutil.which("hadolint") is None:
        pytest.skip("not run: no hadolint")
    done = subprocess.run(["hadolint", "Dockerfile"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.fixture(scope="module")
def image() -> str:
    """The image, built by buildah from a base image that is there."""
    if shutil.which("buildah") is None or shutil.which("podman") is None:
        pytest.skip("not run: no container builder (buildah and podman)")
    base = instructions("FROM")[-1].split()[0]
    found = subprocess.run(["buildah", "images", "-q", base], capture_output=True, text=True)
    if found.returncode or not found.stdout.strip():
        pytest.skip(f"not run: the builder has no image {base}")
    command = "buildah bud --format docker --isolation chroot --pull-never --network host"
    subprocess.run([*command.split(), "-t", IMAGE, "."], cwd=ROOT, check=True)
    return IMAGE


@pytest.mark.slow
def test_the_image_serves_read_only_without_torch_and_ends_on_sigterm(image, tmp_path):
    shutil.copy(ROOT / "checkpoints/base.onnx", tmp_path / "serving.onnx")
    tmp_path.chmod(0o755)  # the image's user is another one
    run = "podman --cgroup-manager cgroupfs --runtime runc run --rm --read-only --tmpfs /tmp"
    run += " --ulimit nofile=1024:1024 --ulimit nproc=4096:4096"  # to raise them may be forbidden
    run += f" --cap-drop all --name {IMAGE} -p 127.0.0.1:{PORT}:5000 -v {tmp_path}:/models:ro"
    serve = ["--model", "/models/serving.onnx", "--feedback", "/feedback"]
    with subprocess.Popen([*run.split(), image, *serve]):
        try:
            assert answers("readyz")["status"] == "ready"
            assert runs("podman", "healthcheck", "run", IMAGE)
            assert inside("import importlib.util as u; print(u.find_spec('torch'))") == "None"
            assert inside("import os; print(os.getuid())") == "10001"
            fields = {"box": "[[0,0],[298,0],[298,38],[0,38]]", "text": "66-87"}
            pictures = [ROOT / "data/demo/images/1000.jpg"]
            kept = post(f"http://127.0.0.1:{PORT}/api/feedback", pictures, fields).body["id"]
            row = inside("print(open('/feedback/feedback.txt').read())")
            assert row == f"img/{kept}.png\t66-87"
        finally:
            began = time.monotonic()
            subprocess.run(["podman", "stop", "--time", "20", IMAGE], check=True)
    assert time.monotonic() - began < 10  # not killed


def inside(code: str) -> str:
    """Give what Python prints inside the container."""
    command = ["podman", "exec", IMAGE, "python3", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def answers(route: str) -> dict:
    """Give what the container says once it is up."""
    for _ in range(120):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/{route}", timeout=5) as response:
                return json.load(response)
        except OSError:
            time.sleep(0.5)
    raise AssertionError("the container did not come up")
