"""What the tests of the page do in the browser, and say to it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import waitress
from PIL import Image
from playwright.sync_api import Page, expect

from crnnkit.serving.config import ServerConfig
from crnnkit.serving.models import ServedModel
from crnnkit.serving.server import app_for

START = {"zh-CN": "开始高精度识别", "en-US": "Start recognition"}


@contextmanager
def running(served: ServedModel, config: ServerConfig) -> Iterator[str]:
    """Address of a service."""
    server = waitress.create_server(app_for(served, config), host="127.0.0.1", port=0, threads=4)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.effective_port}/"
    server.close()
    thread.join(timeout=5)


def picture(path: Path, width: int = 600, height: int = 300, *, blank: bool = False) -> Path:
    image = np.full((height, width), 255, np.uint8)
    if not blank:
        image[40:60, 40:300] = 0
    Image.fromarray(image).save(path)
    return path


def choose(page: Page, *paths: Path) -> None:
    """Pick files as people do, through the file dialog."""
    with page.expect_file_chooser() as dialog:
        page.locator("#drop").click()
    dialog.value.set_files(paths)


def texts(page: Page) -> list[str]:
    return page.locator("#lines .text").all_text_contents()


def download(page: Page, button: str) -> str:
    with page.expect_download() as started:
        page.get_by_role("button", name=button).click()
    return Path(started.value.path()).read_text("utf-8")


def correct(page: Page, number: int, text: str) -> None:
    """Write another text into a line, by keyboard."""
    page.locator("#lines .edit").nth(number).focus()
    page.keyboard.press("Enter")
    expect(page.locator("#lines input")).to_be_focused()
    page.keyboard.insert_text(text)
    page.keyboard.press("Enter")
    expect(page.locator("#lines .edit").nth(number)).to_be_focused()
