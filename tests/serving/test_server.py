"""What the service answers: to good pictures and to bad ones."""

import io
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image
from werkzeug.test import TestResponse

from crnnkit import __version__
from crnnkit.errors import CheckpointError
from crnnkit.serving import server
from crnnkit.serving.config import ServerConfig
from crnnkit.serving.models import LocalReader, ServedModel

WEB = Path(server.__file__).parent / "web"


def png(width: int = 90, height: int = 60, *, blank: bool = False) -> bytes:
    """A picture with ink, or without."""
    image = np.full((height, width), 255, np.uint8)
    if not blank:
        image[10:20, 10:50] = 0
    encoded = io.BytesIO()
    Image.fromarray(image).save(encoded, "PNG")
    return encoded.getvalue()


def icon() -> bytes:
    """A picture of a kind that is not read."""
    encoded = io.BytesIO()
    Image.fromarray(np.zeros((32, 32), np.uint8)).save(encoded, "ICO")
    return encoded.getvalue()


def bomb(side: int) -> bytes:
    """A PNG of a few bytes that claims `side` x `side` pixels."""
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


@pytest.fixture
def client(fake_model) -> FlaskClient:
    return server.app_for(fake_model, ServerConfig(max_upload_mb=1, max_images=3)).test_client()


def post(client: FlaskClient, *images: bytes, name: str = "a.png") -> TestResponse:
    files = [(io.BytesIO(image), name) for image in images]
    return client.post("/api/ocr", data={"image": files})


def refusal(response: TestResponse) -> tuple[int, str, str]:
    """Status, code and message of an error answer that holds nothing else."""
    assert response.content_type == "application/json"
    assert set(response.json) == {"error"}
    assert set(response.json["error"]) == {"code", "message"}
    return response.status_code, response.json["error"]["code"], response.json["error"]["message"]


# ---------- good requests ----------


def test_one_picture_gives_its_lines_in_order(client, fake_reader):
    response = post(client, png(width=90, height=60))
    assert response.status_code == 200
    assert list(response.json) == ["text", "total_time"]
    assert [list(line) for line in response.json["text"]] == [["text", "confidence", "box"]] * 3
    assert [line["text"] for line in response.json["text"]] == [
        text for text, _ in fake_reader.lines
    ]
    assert [line["confidence"] for line in response.json["text"]] == [0.987654, 0.75, 0.4]
    assert response.json["text"][1]["box"] == [[0, 20], [90, 20], [90, 40], [0, 40]]
    assert 0 <= response.json["total_time"] < 5


def test_chinese_travels_readable(client):
    assert "参苓白术散".encode() in post(client, png()).data


def test_several_pictures_give_their_results_in_order(client):
    results = post(client, png(), png(blank=True), png(width=300)).json["results"]
    assert [len(result["text"]) for result in results] == [3, 0, 3]
    assert results[2]["text"][0]["box"][1] == [300, 0]
    assert all(list(result) == ["text", "total_time"] for result in results)


def test_a_picture_without_text_is_no_error(client):
    response = post(client, png(blank=True))
    assert (response.status_code, response.json["text"]) == (200, [])


@pytest.mark.parametrize("name", ["../../etc/passwd", "图片.png", "a\\b.png", "x" * 300, "a\x00b"])
def test_odd_file_names_do_not_matter_and_are_no_paths(client, name, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    before = set(tmp_path.rglob("*"))
    assert post(client, png(), name=name).status_code == 200
    assert set(tmp_path.rglob("*")) == before


# ---------- constraints ----------


def post_with(client: FlaskClient, **fields: str) -> TestResponse:
    return client.post("/api/ocr", data={"image": (io.BytesIO(png()), "a.png"), **fields})


@pytest.mark.parametrize(
    ("fields", "number"),
    [
        ({}, 3),
        ({"pattern": "", "lexicon": "", "charset": ""}, 3),  # a form whose fields stay empty
        ({"pattern": r"GL-\d{4}-\d{2}-\d{3}-[ABC]"}, 1),
        ({"pattern": r"\d+"}, 0),
        ({"lexicon": "A\r\n\r\nGL-2024-03-001-A\r\n"}, 1),  # one text a line, blank ones skipped
        ({"charset": "GL-20431A"}, 1),
        ({"charset": "GL-2043A"}, 0),
    ],
)
def test_a_field_says_what_may_come_out(client, fields, number):
    response = post_with(client, **fields)
    assert response.status_code == 200
    assert len(response.json["text"]) == number


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"pattern": "(A"}, "no regular expression"),
        ({"pattern": "(?=A)B"}, "look-ahead"),
        ({"pattern": "(A{999}){999}"}, "more than 100,000"),
        ({"pattern": "A" * 1001}, "pattern: 1001 characters came. Send at most 1000"),
        ({"lexicon": "A\nx1"}, "'x1': 'x'"),
        ({"lexicon": " \n"}, "no texts"),
        ({"lexicon": "A\n" * 50_001}, "lexicon: 100002 characters came"),
        ({"charset": "AZ"}, "lacks 'Z'"),
        ({"charset": "A", "pattern": "A"}, "pattern and chars are given"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_bad_constraint_is_refused_and_explained(client, fields, reason):
    status, code, message = refusal(post_with(client, **fields))
    assert (status, code) == (400, "bad_constraint")
    assert reason in message


# ---------- refused requests ----------


@pytest.mark.parametrize(
    "request_arguments",
    [
        {},  # no body at all
        {"data": {"image": "text, not a file"}},  # a form field of that name
        {"data": {"image": (io.BytesIO(b""), "")}},  # a form sent with no file chosen
        {"data": {"picture": (io.BytesIO(png()), "a.png")}},  # another field name
        {"data": png(), "content_type": "image/png"},  # the bare file
        {"json": {"image": "aGVsbG8="}},  # JSON
    ],
)
def test_a_request_without_picture_says_how_to_send_one(client, request_arguments):
    status, code, message = refusal(client.post("/api/ocr", **request_arguments))
    assert (status, code) == (400, "no_image")
    assert "multipart form field 'image'" in message


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"not a picture", "not a picture"),
        (png()[:60], "damaged or cut off"),
        (b"%PDF-1.4 ...", "not a picture"),
        (icon(), "not a picture"),  # which Pillow would read
        (bomb(60_000), "more than the limit|too large"),
        (bomb(7_100), "7100 x 7100 pixels are more than the limit of 50,000,000"),
    ],
    ids=["empty", "text", "cut", "pdf", "icon", "bomb", "50 megapixels"],
)
def test_what_is_no_picture_is_named(client, content, reason):
    status, code, message = refusal(post(client, png(), content, name="scan.png"))
    assert (status, code) == (415, "unreadable_image")
    assert message.startswith("picture 2 ('scan.png'): ")
    assert re.search(reason, message)


def test_a_request_over_the_limit_is_refused(client):
    status, code, message = refusal(post(client, b"x" * 1024 * 1024))
    assert (status, code) == (413, "too_large")
    assert "larger than 1 MB" in message


def test_a_request_just_under_the_limit_is_looked_at(client):
    assert refusal(post(client, b"x" * (1024 * 1024 - 1000)))[1] == "unreadable_image"


def test_more_pictures_than_allowed_are_refused_before_reading(client):
    assert post(client, png(), png(), png()).status_code == 200
    status, code, message = refusal(post(client, png(), png(), png(), b"not a picture"))
    assert (status, code) == (413, "too_many_images")
    assert message == "4 pictures came. Send at most 3 at once."


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/ocr", 405, "method_not_allowed"),
        ("DELETE", "/api/ocr", 405, "method_not_allowed"),
        ("GET", "/api/nothing", 404, "not_found"),
        ("POST", "/api/nothing", 404, "not_found"),
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/web/../server.py", 404, "not_found"),  # outside the page's folder
        ("GET", "/web/%2e%2e/server.py", 404, "not_found"),
    ],
)
def test_wrong_addresses_and_methods_are_told_in_json(client, method, path, status, code):
    response = client.open(path, method=method)
    assert refusal(response)[:2] == (status, code)
    if status == 405:
        assert "POST" in response.headers["Allow"]


class BrokenReader:
    """Fails as no reader should."""

    name = "broken.onnx"
    vocab = None

    def read_pages(self, sources, constraint):
        """Raise what nobody expects."""
        raise RuntimeError("secret of line 17")


def test_an_inner_fault_is_told_without_its_details(onnx_path):
    broken = ServedModel(onnx_path, load=lambda path: LocalReader(BrokenReader()))
    response = post(server.app_for(broken, ServerConfig()).test_client(), png())
    status, code, _ = refusal(response)
    assert (status, code) == (500, "internal_server_error")
    assert b"secret" not in response.data
    assert b"Traceback" not in response.data


# ---------- page, health, headers ----------


def test_health_names_the_model_and_the_limits(client):
    assert client.get("/healthz").json == {
        "status": "ok",
        "version": __version__,
        "model": "fake.onnx",
        "max_upload_mb": 1,
        "max_images": 3,
        "needs_key": False,
        "keeps_feedback": False,
    }


@pytest.mark.parametrize("path", ["/", "/healthz", "/web/app.js", "/api/ocr", "/nothing"])
def test_every_answer_carries_the_security_headers(client, path):
    headers = client.get(path).headers
    assert headers["Content-Security-Policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert not [name for name in headers.keys() if name.startswith("Access-Control")]


def test_pages_elsewhere_are_not_let_in_by_asking_first(client):
    headers = {"Origin": "https://elsewhere.test", "Access-Control-Request-Method": "POST"}
    for method in ("OPTIONS", "POST"):
        answer = client.open("/api/ocr", method=method, headers=headers)
        assert not [name for name in answer.headers.keys() if name.startswith("Access-Control")]


def test_readings_are_not_kept_by_caches(client):
    assert post(client, png()).headers["Cache-Control"] == "no-store"


def test_the_page_and_all_it_asks_for_are_served(client):
    page = client.get("/")
    assert page.status_code == 200
    assert page.mimetype == "text/html"
    asked_for = set(re.findall(r'(?:src|href)="([^"]+)"', page.text))
    asked_for |= {
        f"/web/{name}"
        for name in re.findall(r'from "./([^"]+)"', (WEB / "app.js").read_text("utf-8"))
    }
    assert {"/web/app.js", "/web/words.js", "/web/style.css"} <= asked_for
    for address in asked_for:
        assert client.get(address).status_code == 200, address


@pytest.mark.parametrize("path", sorted(WEB.iterdir()), ids=lambda path: path.name)
def test_the_page_asks_for_nothing_from_elsewhere(path):
    addresses = re.findall(r"(?:https?:)?//[\w.]+\.\w+[\w./]*", path.read_text("utf-8"))
    assert set(addresses) <= {"http://www.w3.org/2000/svg"}  # a name, never asked for


def test_both_languages_say_everything():
    chinese, english = (WEB / "words.js").read_text("utf-8").split("  en: {")
    keys = [
        re.findall(r"^\s+(\w+):", part.split("\n};")[0], re.MULTILINE)
        for part in (chinese, english)
    ]
    assert [key for key in keys[0] if key != "zh"] == keys[1]
    page = (WEB / "index.html").read_text("utf-8") + (WEB / "app.js").read_text("utf-8")
    used = re.findall(r'data-(?:word|label)="(\w+)"', page) + re.findall(r'\bword\("(\w+)"', page)
    assert len(used) > 20
    assert set(used) <= set(keys[1])


# ---------- with a real model ----------


def test_the_app_of_a_model_file_reads_with_it(onnx_path, recognizer, make_line):
    encoded = io.BytesIO()
    Image.fromarray(make_line("北京市 12")).save(encoded, "PNG")
    response = post(server.create_app(onnx_path).test_client(), encoded.getvalue())
    expected = recognizer.read_page(encoded.getvalue())
    assert expected[0].text
    assert [line["text"] for line in response.json["text"]] == [line.text for line in expected]


def test_an_app_of_no_model_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no such model"):
        server.create_app(tmp_path / "gone.onnx")
