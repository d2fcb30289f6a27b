"""The page without a mouse, and for those who hear it, in a real Chromium."""

import pytest
from playwright.sync_api import Page, Route, expect

from tests.serving.web.browsing import choose, picture, texts

pytestmark = pytest.mark.browser
LANGUAGES = pytest.mark.parametrize("page", ["zh-CN", "en-US"], indirect=True)


def start(page: Page) -> None:
    """Start by keyboard, and wait for the end."""
    button = page.locator("#start")
    button.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text(
        {"zh-CN": "完成", "en-US": "Done"}[page.evaluate("navigator.language")]
    )


@LANGUAGES
def test_the_focus_stays_where_it_was(page, tmp_path):
    choose(page, *(picture(tmp_path / f"{name}.png") for name in "abc"))
    start(page)
    expect(page.locator("#start")).to_be_focused()
    thumb = page.locator(".thumb").nth(1)
    thumb.focus()
    page.keyboard.press("Enter")
    expect(thumb).to_be_focused()
    expect(page.locator("#caption")).to_have_text("b.png")
    page.locator(".remove").nth(1).focus()
    page.keyboard.press("Enter")
    expect(page.locator(".remove").nth(1)).to_be_focused()  # that of c.png now
    page.keyboard.press("Enter")  # the last one left needs no strip
    expect(page.locator("#start")).to_be_focused()
    page.locator("#clear").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#files")).to_be_focused()


@LANGUAGES
def test_what_became_of_a_picture_is_part_of_its_name(page, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    choose(page, picture(tmp_path / "good.png"), tmp_path / "broken.png")
    names = {
        "zh-CN": [
            "good.png，待识别",
            "broken.png，待识别",
            "good.png，已识别",
            "broken.png，识别失败",
        ],
        "en-US": [
            "good.png, waiting",
            "broken.png, waiting",
            "good.png, read",
            "broken.png, failed",
        ],
    }[page.evaluate("navigator.language")]
    for name in names[:2]:
        expect(page.get_by_role("button", name=name, exact=True)).to_be_visible()
    start(page)
    for name in names[2:]:
        expect(page.get_by_role("button", name=name, exact=True)).to_be_visible()


def test_a_click_on_another_line_is_not_lost_while_one_is_corrected(page, fake_reader, tmp_path):
    choose(page, picture(tmp_path / "a.png"))
    start(page)
    page.locator("#lines .edit").nth(0).click()
    page.locator("#lines input").fill("党参")
    page.locator("#lines .edit").nth(2).click()
    field = page.locator("#lines .line").nth(2).locator("input")
    expect(field).to_be_focused()
    assert texts(page)[:2] == ["党参", fake_reader.lines[1][0]]
    page.locator("#lines .edit").nth(2).click()  # its own button closes it
    expect(field).to_have_count(0)
    expect(page.locator("#lines .edit").nth(2)).to_be_focused()


def let_one_through(page: Page, waiting: list[Route]) -> None:
    while not waiting:
        page.wait_for_timeout(20)
    waiting.pop().continue_()


def test_a_line_is_corrected_while_other_pictures_are_read(page, feedback, tmp_path):
    choose(page, *(picture(tmp_path / f"{name}.png") for name in "abc"))
    waiting = []
    page.route("**/api/ocr", lambda route: waiting.append(route))
    page.locator("#start").click()
    let_one_through(page, waiting)
    expect(page.locator("#strip .read")).to_have_count(1)
    page.locator(".thumb").first.click()
    page.locator("#lines .edit").first.click()
    page.locator("#lines input").fill("党参")
    for _ in "bc":
        let_one_through(page, waiting)
    expect(page.get_by_role("status")).to_have_text("完成：共 3 张")
    expect(page.locator("#lines input")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("已修改，并已保存，可用于训练")
    expect(page.locator("#caption")).to_have_text("a.png")
    assert texts(page)[0] == "党参"
