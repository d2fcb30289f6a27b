"""The page as people use it, in a real Chromium."""

import csv
import json

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.serving.web.browsing import START, choose, correct, download, picture, texts

pytestmark = pytest.mark.browser


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
    marks = lines.nth(2).locator("span.poor")
    expect(marks).to_have_text(list("<b>&copy;</b>"))  # waits for the lines
    expect(lines.nth(0).locator("span")).to_have_count(0)
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
    page.get_by_role("button", name="blank.png，已识别", exact=True).click()
    expect(page.locator("#hint")).to_have_text("这张图片里没有找到文字。")
    page.get_by_role("button", name="broken.png，识别失败", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("无法读取这张图片")
    expect(page.get_by_role("alert")).to_contain_text("'broken.png'")
    page.get_by_role("button", name="large.png，识别失败", exact=True).click()
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


# What a spreadsheet would run gets an apostrophe; what it only shows does not.
CELLS = {
    '=HYPERLINK("http://x","a")': '\'=HYPERLINK("http://x","a")',
    "-2+3": "'-2+3",
    "+A1": "'+A1",
    "@SUM(A1)": "'@SUM(A1)",
    "＝1+1": "'＝1+1",
    "-QF1": "'-QF1",
    "--1": "'--1",
    "-12.50": "-12.50",
    "+1,280.50": "+1,280.50",
    "-5%": "-5%",
    "-": "-",
    "2-3": "2-3",
    "'=1": "'=1",
}


def test_no_cell_of_the_table_is_run_as_a_formula(page, tmp_path):
    choose(page, picture(tmp_path / '=cmd|calc,"x".png'))
    page.get_by_role("button", name=START["zh-CN"]).click()
    expect(page.locator("#lines .line")).to_have_count(3)
    for text, cell in CELLS.items():
        correct(page, 1, text)
        rows = list(csv.reader(download(page, "下载 CSV").splitlines()))
        assert rows[2][:3] == ['\'=cmd|calc,"x".png', "2", cell]
    assert f"\n{text}\n" in download(page, "下载 TXT")
    expect(page.get_by_role("status")).to_contain_text("已保存")


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


def test_a_phone_offers_its_camera_and_a_desk_does_not(page, browser, address):
    expect(page.get_by_text("拍照")).to_be_hidden()
    phone = browser.new_context(
        locale="zh-CN", viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True
    ).new_page()
    phone.goto(address)
    expect(phone.get_by_text("拍照")).to_be_visible()
    assert phone.locator("#camera").get_attribute("capture") == "environment"
    phone.context.close()
