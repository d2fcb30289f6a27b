"""The page of a service that asks for a key, in a real Chromium."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from crnnkit.serving.config import ServerConfig
from tests.serving.web.browsing import START, choose, picture, running

pytestmark = pytest.mark.browser

KEY_WORDS = {
    "zh-CN": {
        "key": "此服务需要访问密钥",
        "go": "继续",
        "cancel": "取消",
        "wrong": "密钥不正确，请重新输入。",
        "odd": "密钥只能由英文字母、数字和英文符号组成。",
        "stopped": "完成：0 张成功，1 张失败，2 张待识别",
        "none": "没有访问密钥，或密钥不正确。",
    },
    "en-US": {
        "key": "This service asks for a key",
        "go": "Go on",
        "cancel": "Cancel",
        "wrong": "This key is wrong. Type it again.",
        "odd": "A key has only unaccented Latin letters, digits and signs of an English keyboard.",
        "stopped": "Done: 0 read, 1 failed, 2 waiting",
        "none": "The key is missing or wrong.",
    },
}


@pytest.fixture(params=["zh-CN", "en-US"])
def locked(request, browser, served) -> Iterator[tuple[Page, str]]:
    """The page of a service that has a key, and its language."""
    with running(served, ServerConfig(api_key="secret")) as address:
        page = browser.new_page(locale=request.param)
        page.goto(address)
        yield page, request.param
        page.close()


def test_a_service_with_a_key_is_asked_with_it(locked, tmp_path):
    page, language = locked
    says = KEY_WORDS[language]
    choose(page, picture(tmp_path / "a.png"))
    page.get_by_role("button", name=START[language]).click()
    fault = page.locator("#key-dialog").get_by_role("alert")
    expect(page.get_by_label(says["key"])).to_be_focused()
    expect(fault).to_be_hidden()
    for key, reason in (("密钥", "odd"), ("wrong", "wrong"), ("sécret", "odd")):
        page.get_by_label(says["key"]).fill(key)
        page.get_by_role("button", name=says["go"]).click()
        expect(fault).to_have_text(says[reason])
    page.get_by_label(says["key"]).fill(" secret ")
    page.keyboard.press("Enter")
    expect(page.locator("#lines .line")).to_have_count(3)


@pytest.mark.parametrize("way", ["Escape", "button"])
def test_who_gives_no_key_is_asked_once_and_not_for_every_picture(locked, tmp_path, way):
    page, language = locked
    says = KEY_WORDS[language]
    choose(page, *(picture(tmp_path / f"{name}.png") for name in "abc"))
    page.get_by_role("button", name=START[language]).click()
    expect(page.get_by_label(says["key"])).to_be_focused()
    if way == "Escape":
        page.keyboard.press("Escape")
    else:
        page.get_by_role("button", name=says["cancel"]).click()
    expect(page.get_by_role("status")).to_have_text(says["stopped"])
    expect(page.locator("#fault")).to_contain_text(says["none"])
    expect(page.locator("#key-dialog")).to_be_hidden()
    page.get_by_role("button", name=START[language]).click()  # asks again, and then goes on
    page.get_by_label(says["key"]).fill("secret")
    page.keyboard.press("Enter")
    expect(page.locator("#strip .read")).to_have_count(3)
