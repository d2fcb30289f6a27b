"""A service, a real Chromium and its page."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from crnnkit.serving.config import ServerConfig
from crnnkit.serving.models import LocalReader, ServedModel
from tests.serving.web.browsing import running

CHROMIUM = shutil.which("chromium")
# Without these Chromium asks for hosts elsewhere, and refuses to run as root.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def served(fake_reader, tmp_path_factory) -> ServedModel:
    path = tmp_path_factory.mktemp("model") / "fake.onnx"
    path.write_bytes(b"a model")
    return ServedModel(path, load=lambda path: LocalReader(fake_reader))


@pytest.fixture(scope="module")
def feedback(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("feedback")


@pytest.fixture(scope="module")
def address(served, feedback) -> Iterator[str]:
    with running(served, ServerConfig(max_upload_mb=1, feedback_dir=feedback)) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("not run: no Chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(params=["zh-CN"])
def page(request: pytest.FixtureRequest, browser: Browser, address: str) -> Iterator[Page]:
    """The page in a language, and no complaint of the browser at the end."""
    context = browser.new_context(
        locale=request.param, viewport={"width": 1280, "height": 860}, accept_downloads=True
    )
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address.rstrip("/"))
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console", lambda entry: complaints.append(entry.text) if entry.type == "error" else None
    )
    page.goto(address)
    yield page
    context.close()
    refusals = "Failed to load resource: the server responded with a status of"
    assert [text for text in complaints if not text.startswith(refusals)] == []
