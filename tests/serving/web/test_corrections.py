"""Lines corrected on the page, in a real Chromium."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import expect

from crnnkit.dataset.index import Line, read_index
from crnnkit.preprocessing.images import read_image
from crnnkit.serving.config import ServerConfig
from tests.serving.web.browsing import START, choose, correct, download, picture, running, texts

pytestmark = pytest.mark.browser


def kept_since(before: bytes, feedback: Path) -> list[Line]:
    """The corrections in the store that were not in its index before."""
    lines = read_index(feedback / "feedback.txt")
    return [line for line in lines if line.image.stem not in before.decode()]


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
    (added,) = kept_since(before, feedback)
    assert added.text == "GL-2024-03-008-A"
    assert read_image(added.image).shape == (100, 600)
    name = {"zh-CN": "下载 JSON", "en-US": "Download JSON"}[language]
    line = json.loads(download(page, name))["results"][0]["text"][1]
    assert (line["text"], line["read"]) == ("GL-2024-03-008-A", "GL-2024-03-001-A")
    assert "kept" not in line


def test_start_reads_what_waits_and_leaves_corrections_alone(page, feedback, fake_reader, tmp_path):
    before = (feedback / "feedback.txt").read_bytes()
    start = page.get_by_role("button", name=START["zh-CN"])
    asked = []
    page.on("request", lambda request: asked.append(request.url.rsplit("/", 1)[-1]))
    choose(page, picture(tmp_path / "a.png"))
    start.click()
    correct(page, 1, "WRONG")
    expect(page.get_by_role("status")).to_contain_text("已保存")
    expect(start).to_be_disabled()
    start.click(force=True)
    choose(page, picture(tmp_path / "b.png"))
    start.click()
    expect(page.get_by_role("status")).to_have_text("完成：共 1 张")
    assert asked.count("ocr") == 2
    page.locator(".thumb").first.click()
    assert texts(page)[1] == "WRONG"
    with page.expect_response(lambda response: response.request.method == "DELETE"):
        correct(page, 1, "RIGHT")
    assert [line.text for line in kept_since(before, feedback)] == ["RIGHT"]


def test_of_two_quick_corrections_of_a_line_the_second_is_kept(page, feedback, tmp_path):
    before = (feedback / "feedback.txt").read_bytes()
    choose(page, picture(tmp_path / "a.png"))
    page.get_by_role("button", name=START["zh-CN"]).click()
    held = []
    page.route("**/api/feedback", lambda route: held.append(route))
    correct(page, 0, "FIRST")
    correct(page, 0, "SECOND")
    with page.expect_response(lambda response: response.request.method == "DELETE"):
        while held:
            held.pop().continue_()  # the last one first, where they were sent at once
            page.wait_for_timeout(200)
    assert [line.text for line in kept_since(before, feedback)] == ["SECOND"]


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
