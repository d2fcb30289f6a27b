"""The page as people use it, in a real Chromium."""

import csv
import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import waitress
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from crnnkit.dataset.index import read_index
from crnnkit.preprocessing.images import read_image
from crnnkit.serving.config import ServerConfig
from crnnkit.serving.models import ServedModel
from crnnkit.serving.server import app_for

pytestmark = pytest.mark.browser

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
START = {"zh-CN": "开始高精度识别", "en-US": "Start recognition"}


@pytest.fixture(scope="module")
def served(fake_reader, tmp_path_factory) -> ServedModel:
    path = tmp_path_factory.mktemp("model") / "fake.onnx"
    path.write_bytes(b"a model")
    return ServedModel(path, load=lambda path: fake_reader)


@contextmanager
def running(served: ServedModel, config: ServerConfig) -> Iterator[str]:
    """Address of a service."""
    server = waitress.create_server(app_for(served, config), host="127.0.0.1", port=0, threads=4)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.effective_port}/"
    server.close()
    thread.join(timeout=5)


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


@pytest.mark.parametrize("page", ["zh-CN", "en-US"], indirect=True)
def test_a_picture_becomes_lines_with_confidences_and_boxes(page, fake_reader, tmp_path):
    language = page.evaluate("navigator.language")
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN" if language == "zh-CN" else "en")
    start = page.get_by_role("button", name=START[language])
    expect(start).to_be_disabled()
    choose(page, picture(tmp_path / "处方.png"))
    start.click()
    expect(page.locator("#lines .line")).to_have_count(3)
    assert texts(page) == [text for text, _ in fake_reader.lines]
    assert page.locator("#lines .percent").all_text_contents() == ["98.8%", "75.0%", "40.0%"]
    meters = page.get_by_role("meter").all()
    widths = [meter.locator(".bar").bounding_box()["width"] for meter in meters]
    assert widths[1] == pytest.approx(0.75 * meters[1].bounding_box()["width"], rel=0.02)
    expect(page.locator("#caption")).to_have_text("处方.png")
    # The boxes lie over the picture: the second is the middle third of its height.
    shown = page.locator("#picture").bounding_box()
    box = page.locator("#boxes .box").nth(1).bounding_box()
    assert box["y"] == pytest.approx(shown["y"] + shown["height"] / 3, abs=4)
    assert box["height"] == pytest.approx(shown["height"] / 3, abs=6)
    assert box["width"] == pytest.approx(shown["width"], abs=6)


def test_a_line_and_its_box_light_up_together(page, tmp_path):
    choose(page, picture(tmp_path / "a.png"))
    page.get_by_role("button", name=START["zh-CN"]).click()
    line, box = page.locator("#lines .line").nth(1), page.locator("#boxes g").nth(1)
    line.hover()
    expect(box).to_have_class("lit")
    page.locator("h1").hover()
    expect(box).to_have_class("")
    box.hover()
    expect(line).to_have_class("line fair lit")
    page.locator("h1").hover()
    expect(page.locator(".lit")).to_have_count(0)
    page.locator("#lines .edit").first.focus()
    page.keyboard.press("Tab")  # the keyboard reaches lines too
    expect(box).to_have_class("lit")


@pytest.mark.parametrize("page", ["zh-CN", "en-US"], indirect=True)
def test_a_line_that_is_lit_shows_its_characters(page, fake_reader, tmp_path):
    choose(page, picture(tmp_path / "a.png"))
    language = page.evaluate("navigator.language")
    page.get_by_role("button", name=START[language]).click()
    expect(page.locator("#lines .line")).to_have_count(3)
    chars = page.locator("#boxes .char:visible")
    expect(chars).to_have_count(0)
    page.locator("#lines .line").nth(1).hover()
    text, _ = fake_reader.lines[1]
    expect(chars).to_have_count(len(text))
    # The second of 16 characters stands in the second 16th of the line.
    expect(chars.nth(1)).to_have_attribute("points", "37.5,100 75,100 75,200 37.5,200")
    expect(chars.nth(1)).to_have_class("char fair")
    assert chars.nth(1).locator("title").text_content() == "L  75.0%"
    page.locator("#lines .edit").first.focus()  # the keyboard shows those of its line
    page.locator("h1").hover()
    expect(chars).to_have_count(len(fake_reader.lines[0][0]))


@pytest.mark.parametrize("page", ["zh-CN", "en-US"], indirect=True)
def test_characters_that_are_not_sure_are_marked_until_they_are_corrected(page, tmp_path):
    choose(page, picture(tmp_path / "a.png"))
    language = page.evaluate("navigator.language")
    page.get_by_role("button", name=START[language]).click()
    lines = page.locator("#lines .text")
    expect(lines.nth(0).locator("span")).to_have_count(0)
    marks = lines.nth(2).locator("span.poor")
    assert marks.all_text_contents() == list("<b>&copy;</b>")
    says = {"zh-CN": "置信度 40.0%", "en-US": "confidence 40.0 %"}[language]
    expect(marks.first).to_have_attribute("title", says)
    correct(page, 2, "©")
    expect(marks).to_have_count(0)
    expect(page.locator("#boxes g").nth(2).locator(".char")).to_have_count(0)
    export = download(page, {"zh-CN": "下载 JSON", "en-US": "Download JSON"}[language])
    assert "chars" not in export


def test_boxes_follow_a_picture_that_its_camera_held_sideways(page, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # stored 600 x 300, shown 300 x 600
    image = Image.open(picture(tmp_path / "a.png"))
    image.save(tmp_path / "turned.jpg", exif=exif)
    choose(page, tmp_path / "turned.jpg")
    page.get_by_role("button", name=START["zh-CN"]).click()
    expect(page.locator("#boxes")).to_have_attribute("viewBox", "0 0 300 600")
    expect(page.locator("#boxes .box").nth(2)).to_have_attribute(
        "points", "0,400 300,400 300,600 0,600"
    )


def test_several_pictures_each_keep_their_own_result(page, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    (tmp_path / "large.png").write_bytes(bytes(1024 * 1024 + 1))
    good, blank = picture(tmp_path / "good.png"), picture(tmp_path / "blank.png", blank=True)
    choose(page, good, blank, tmp_path / "broken.png")
    choose(page, tmp_path / "large.png")  # a second choice adds to the first
    page.get_by_role("button", name=START["zh-CN"]).click()
    expect(page.get_by_role("status")).to_have_text("完成：2 张成功，2 张失败")
    expect(page.locator("#lines .line")).to_have_count(3)
    page.get_by_role("button", name="blank.png", exact=True).click()
    expect(page.locator("#hint")).to_have_text("这张图片里没有找到文字。")
    page.get_by_role("button", name="broken.png", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("无法读取这张图片")
    expect(page.get_by_role("alert")).to_contain_text("'broken.png'")
    page.get_by_role("button", name="large.png", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("文件太大")
    page.get_by_role("button", name="移除 large.png").click()
    expect(page.locator("#strip li")).to_have_count(3)
    page.get_by_role("button", name="清空").click()
    expect(page.locator("#work")).to_be_hidden()


def test_the_language_changes_with_the_results_kept(page, fake_reader, tmp_path):
    choose(page, picture(tmp_path / "a.png"))
    page.get_by_role("button", name=START["zh-CN"]).click()
    expect(page.locator("#summary")).to_contain_text("3 行")
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("button", name="Start recognition")).to_be_visible()
    expect(page.locator("#summary")).to_contain_text("3 lines")
    assert texts(page) == [text for text, _ in fake_reader.lines]
    page.reload()  # the address keeps the choice
    expect(page.get_by_role("button", name="Start recognition")).to_be_visible()


def test_results_can_be_copied_and_downloaded(page, fake_reader, tmp_path):
    choose(page, picture(tmp_path / "a.png"), picture(tmp_path / "b.png", blank=True))
    page.get_by_role("button", name=START["zh-CN"]).click()
    expect(page.get_by_role("status")).to_have_text("完成：共 2 张")
    page.get_by_role("button", name="复制文字").click()
    expect(page.get_by_role("button", name="已复制")).to_be_visible()
    read = "\n".join(text for text, _ in fake_reader.lines)
    assert page.evaluate("navigator.clipboard.readText()") == read
    assert download(page, "下载 TXT") == f"# a.png\n{read}\n\n# b.png\n"
    results = json.loads(download(page, "下载 JSON"))["results"]
    assert [result["image"] for result in results] == ["a.png", "b.png"]
    assert results[0]["text"][1]["confidence"] == 0.75
    assert results[1]["text"] == []
    head, *rows = csv.reader(download(page, "下载 CSV").splitlines())
    assert head[:4] == ["\ufeffimage", "line", "text", "confidence"]
    assert [row[:4] for row in rows] == [
        ["a.png", str(number), text, str(round(confidence, 6))]
        for number, (text, confidence) in enumerate(fake_reader.lines, start=1)
    ]
    assert rows[1][4:] == ["0", "100", "600", "100", "600", "200", "0", "200"]


def download(page: Page, button: str) -> str:
    with page.expect_download() as started:
        page.get_by_role("button", name=button).click()
    return Path(started.value.path()).read_text("utf-8")


HAND_OVER = """([kind, bytes]) => {
  const file = new File([new Uint8Array(bytes)], "given.png", { type: "image/png" });
  const transfer = new DataTransfer();
  transfer.items.add(file);
  const event = kind === "paste"
    ? new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true })
    : new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true });
  document.body.dispatchEvent(event);
}"""


@pytest.mark.parametrize("kind", ["paste", "drop"])
def test_pictures_can_be_pasted_and_dropped(page, tmp_path, kind):
    page.evaluate(HAND_OVER, [kind, list(picture(tmp_path / "a.png").read_bytes())])
    expect(page.locator("#caption")).to_have_text("given.png")
    page.get_by_role("button", name=START["zh-CN"]).click()
    expect(page.locator("#lines .line")).to_have_count(3)


def test_a_server_that_is_gone_is_told_in_words(page, tmp_path):
    choose(page, picture(tmp_path / "a.png"))
    page.route("**/api/ocr", lambda route: route.fulfill(status=502, body="<html>proxy"))
    page.get_by_role("button", name=START["zh-CN"]).click()
    expect(page.get_by_role("alert")).to_contain_text("识别失败，请重试。HTTP 502")
    page.unroute("**/api/ocr")
    page.get_by_role("button", name=START["zh-CN"]).click()  # failed pictures are tried again
    expect(page.get_by_role("alert")).to_be_hidden()
    expect(page.locator("#lines .line")).to_have_count(3)


def test_the_page_fits_a_phone(page, tmp_path):
    page.set_viewport_size({"width": 360, "height": 740})
    choose(page, *(picture(tmp_path / f"{i}{'x' * 60}.png", 2000, 64) for i in range(5)))
    page.get_by_role("button", name=START["zh-CN"]).click()
    expect(page.get_by_role("status")).to_have_text("完成：共 5 张")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    view, shown, lines = (
        page.locator(name).bounding_box() for name in ("#view", "#picture", "#lines")
    )
    assert 250 < shown["width"] < view["width"]
    assert lines["y"] > view["y"] + view["height"]  # below, not beside


def correct(page: Page, number: int, text: str) -> None:
    """Write another text into a line, by keyboard."""
    page.locator("#lines .edit").nth(number).focus()
    page.keyboard.press("Enter")
    expect(page.locator("#lines input")).to_be_focused()
    page.keyboard.insert_text(text)
    page.keyboard.press("Enter")
    expect(page.locator("#lines .edit").nth(number)).to_be_focused()


@pytest.mark.parametrize("page", ["zh-CN", "en-US"], indirect=True)
def test_a_line_is_corrected_in_place_and_kept_as_training_data(page, feedback, tmp_path):
    language = page.evaluate("navigator.language")
    kept = {"zh-CN": "已修改，并已保存，可用于训练", "en-US": "Corrected, and kept for training"}
    before = (feedback / "feedback.txt").read_bytes()
    choose(page, picture(tmp_path / "a.png"))
    page.get_by_role("button", name=START[language]).click()
    correct(page, 1, "GL-2024-03-007-A")
    expect(page.get_by_role("status")).to_have_text(kept[language])
    assert texts(page)[1] == "GL-2024-03-007-A"
    with page.expect_response(lambda response: response.request.method == "DELETE"):
        correct(page, 1, "GL-2024-03-008-A")  # the same line again: one correction is kept
    added = [
        line for line in read_index(feedback / "feedback.txt") if line.image.stem not in str(before)
    ]
    assert [line.text for line in added] == ["GL-2024-03-008-A"]
    assert read_image(added[0].image).shape == (100, 600)
    name = {"zh-CN": "下载 JSON", "en-US": "Download JSON"}[language]
    line = json.loads(download(page, name))["results"][0]["text"][1]
    assert (line["text"], line["read"]) == ("GL-2024-03-008-A", "GL-2024-03-001-A")
    assert "kept" not in line


def test_escape_and_an_empty_text_leave_a_line_as_it_was(page, feedback, fake_reader, tmp_path):
    before = (feedback / "feedback.txt").read_bytes()
    choose(page, picture(tmp_path / "a.png"))
    page.get_by_role("button", name=START["zh-CN"]).click()
    for ending in ("Escape", "Enter"):
        page.locator("#lines .edit").first.click()
        page.locator("#lines input").fill("" if ending == "Enter" else "other")
        page.keyboard.press(ending)
        assert texts(page) == [text for text, _ in fake_reader.lines]
    assert (feedback / "feedback.txt").read_bytes() == before


def test_a_correction_stays_on_the_page_where_none_are_kept(browser, served, tmp_path):
    with running(served, ServerConfig()) as address:
        page = browser.new_page(locale="zh-CN")
        page.goto(address)
        choose(page, picture(tmp_path / "a.png"))
        page.get_by_role("button", name=START["zh-CN"]).click()
        correct(page, 0, "党参")
        expect(page.get_by_role("status")).to_have_text("已修改（仅在本页有效）")
        page.close()


def test_a_service_with_a_key_is_asked_with_it(browser, served, tmp_path):
    with running(served, ServerConfig(api_key="secret")) as address:
        page = browser.new_page(locale="zh-CN")
        page.goto(address)
        choose(page, picture(tmp_path / "a.png"))
        page.get_by_role("button", name=START["zh-CN"]).click()
        for key in ("wrong", "secret"):
            page.get_by_label("此服务需要访问密钥").fill(key)
            page.get_by_role("button", name="继续").click()
        expect(page.locator("#lines .line")).to_have_count(3)
        page.close()


def test_a_phone_offers_its_camera_and_a_desk_does_not(page, browser, address):
    expect(page.get_by_text("拍照")).to_be_hidden()
    phone = browser.new_context(
        locale="zh-CN", viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True
    ).new_page()
    phone.goto(address)
    expect(phone.get_by_text("拍照")).to_be_visible()
    assert phone.locator("#camera").get_attribute("capture") == "environment"
    phone.context.close()
