"""The widgets in a real JupyterLab, driven by a real browser."""

import os
import shutil
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import nbformat
import numpy as np
import pytest

from crnnkit.dataset.index import Line, read_index, write_index
from crnnkit.preprocessing.images import write_image

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
DEMO = """
    import numpy as np
    from crnnkit.preprocessing.images import read_image
    from crnnkit.preprocessing.lines import find_lines
    from crnnkit.serving.readings import PageLine
    from crnnkit.workbook.widgets import RecognitionDemo

    class Reader:
        def read_page(self, source, constraint=None):
            return [PageLine("设备编号", 0.9876, quad) for quad in find_lines(read_image(source))]

    RecognitionDemo(Reader()).view
"""
LABELLING = """
    from pathlib import Path
    from crnnkit.workbook.labelling import Labelling, Task
    from crnnkit.workbook.widgets import LabellingAid

    tasks = [Task(Path(f"{name}.png").resolve(), name, 0.5) for name in ("GL-1", "6L-2", "GL-3")]
    LabellingAid(Labelling(tasks, [Path("train.txt").resolve()])).view
"""

SUSPECTS = """
    from pathlib import Path
    from crnnkit.evaluation.suspects import Suspect
    from crnnkit.workbook.labelling import Labelling, doubtful
    from crnnkit.workbook.widgets import LabellingAid

    rows = [("GL-1", "6L-1", "GL-1"), ("GL-2", "GL-2", "6L-2")]
    suspects = [
        Suspect(Path(f"{name}.png").resolve(), label, read, 0.9, 5.0, 0.1)
        for name, label, read in rows
    ]
    LabellingAid(Labelling(doubtful(suspects), [Path("train.txt").resolve()])).view
"""


@pytest.fixture
def lab(tmp_path, request):
    """A JupyterLab on a folder with one notebook of one cell, the parameter; gives its address."""
    kernel = {"name": "python3", "language": "python", "display_name": "Python 3"}
    cell = nbformat.v4.new_code_cell(textwrap.dedent(request.param).strip())
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": kernel})
    nbformat.write(notebook, tmp_path / "demo.ipynb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": port,
        "ServerApp.root_dir": tmp_path,
        "ServerApp.allow_root": True,
        "IdentityProvider.token": "test",
        "LabApp.news_url": "",
        "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser"]
    command += [f"--{name}={value}" for name, value in options.items()]
    places = {f"JUPYTER_{kind}_DIR": str(tmp_path / kind) for kind in ("CONFIG", "DATA", "RUNTIME")}
    with (tmp_path / "lab.log").open("wb") as log:
        server = subprocess.Popen(command, env=os.environ | places, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{address}/api?token=test", server, tmp_path / "lab.log")
        yield f"{address}/lab/tree/demo.ipynb?token=test"
    finally:
        server.terminate()
        server.wait(timeout=20)


def wait_for(url: str, server: subprocess.Popen, log: Path) -> None:
    for _ in range(120):
        assert server.poll() is None, log.read_text()
        try:
            urlopen(url, timeout=5).close()
            return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(log.read_text())


@contextmanager
def opened(address: str) -> Iterator:
    """The page of a notebook in a real browser, its one cell run."""
    from playwright.sync_api import expect, sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(60_000)
        expect.set_options(timeout=60_000)
        page.goto(address)
        run_the_cell(page)
        yield page
        browser.close()


def run_the_cell(page) -> None:
    """Run the notebook's one cell; keys pressed before the kernel is ready would be lost."""
    page.get_by_role("button", name="Python 3 (ipykernel) | Idle").wait_for()
    page.locator(".jp-CodeCell .cm-content").click()
    page.keyboard.press("Shift+Enter")


@pytest.mark.browser
@pytest.mark.parametrize("lab", [DEMO], indirect=True, ids=["demo"])
def test_the_demo_reads_an_upload_in_a_real_jupyterlab(lab, tmp_path, make_line):
    if CHROMIUM is None:
        pytest.skip("not run: no Chromium")
    from playwright.sync_api import expect

    page_picture = np.full((300, 500), 255, np.uint8)
    for top in (40, 140):
        line = make_line("GL-2024-03-001-A", height=40)
        page_picture[top : top + 40, 30 : 30 + line.shape[1]] = line
    write_image(tmp_path / "页面.png", page_picture)
    (tmp_path / "notes.txt").write_text("no picture")
    with opened(lab) as page:
        upload = page.get_by_role("button", name="Upload a picture")
        for name in ("页面.png", "notes.txt"):
            with page.expect_file_chooser() as dialog:
                upload.click()
            dialog.value.set_files(tmp_path / name)
            if name == "页面.png":
                expect(page.get_by_text("页面.png: 2 lines")).to_be_visible()
                expect(page.get_by_role("cell", name="设备编号")).to_have_count(2)
                expect(page.get_by_role("cell", name="98.8%")).to_have_count(2)
                picture = page.locator("img.jupyter-widgets")
                expect(picture).to_be_visible()
                expect(picture).to_have_js_property("naturalWidth", 500)  # waits for its decoding
        expect(page.get_by_text("notes.txt: picture of 10 bytes: not a picture")).to_be_visible()
        expect(page.get_by_role("cell", name="设备编号")).to_have_count(0)


@pytest.mark.browser
@pytest.mark.parametrize("lab", [LABELLING], indirect=True, ids=["labelling"])
def test_lines_are_labelled_with_the_keyboard_in_a_real_jupyterlab(lab, tmp_path, make_line):
    if CHROMIUM is None:
        pytest.skip("not run: no Chromium")
    from playwright.sync_api import expect

    for name in ("GL-1", "6L-2", "GL-3"):
        write_image(tmp_path / f"{name}.png", make_line(name.replace("6", "G")))
    with opened(lab) as page:
        field = page.get_by_placeholder("what is printed; Enter writes it down")
        expect(field).to_have_value("GL-1")
        field.press("Enter")
        expect(field).to_have_value("6L-2")
        field.fill("GL-2")
        field.press("Enter")
        expect(page.get_by_text("2 labelled, 1 left; 1.5 keys a line")).to_be_visible()
        page.get_by_role("button", name="Skip").click()
        expect(page.get_by_text("All done.")).to_be_visible()
        page.get_by_role("button", name="Undo").click()
        expect(field).to_have_value("GL-3")
        picture = page.locator("img.jupyter-widgets")
        expect(picture).to_be_visible()  # it comes a moment after the field's value
        shown = picture.bounding_box()
        assert shown["height"] == 64, "the picture at its own size, not stretched"
        page.screenshot(path=tmp_path / "labelling.png")
    assert [line.text for line in read_index(tmp_path / "train.txt")] == ["GL-1", "GL-2"]


@pytest.mark.browser
@pytest.mark.parametrize("lab", [SUSPECTS], indirect=True, ids=["suspects"])
def test_labels_in_doubt_are_mended_in_place_in_a_real_jupyterlab(lab, tmp_path, make_line):
    if CHROMIUM is None:
        pytest.skip("not run: no Chromium")
    from playwright.sync_api import expect

    labels = {"GL-0": "GL-0", "GL-1": "6L-1", "GL-2": "GL-2"}
    for name in labels:
        write_image(tmp_path / f"{name}.png", make_line(name))
    rows = [Line(tmp_path / f"{name}.png", text, 1) for name, text in labels.items()]
    write_index(tmp_path / "train.txt", rows)
    with opened(lab) as page:
        field = page.get_by_placeholder("what is printed; Enter writes it down")
        expect(field).to_have_value("6L-1")
        expect(page.locator(".jp-OutputArea").get_by_text("read as GL-1")).to_be_visible()
        page.screenshot(path=tmp_path / "suspects.png")
        field.fill("GL-1")
        field.press("Enter")
        expect(field).to_have_value("GL-2")
        field.press("Enter")  # the label is right, the recogniser is not
        expect(page.get_by_text("All done.")).to_be_visible()
    assert [line.text for line in read_index(tmp_path / "train.txt")] == ["GL-0", "GL-1", "GL-2"]
