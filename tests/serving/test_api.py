"""The interface's options, model calls, corrections, keys and numbers."""

import io
import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image
from werkzeug.test import TestResponse

from crnnkit.dataset.index import read_index
from crnnkit.errors import ConfigError
from crnnkit.preprocessing.images import MAX_PIXELS
from crnnkit.serving.api import MAX_CONSTRAINT_LENGTH
from crnnkit.serving.config import ServerConfig
from crnnkit.serving.models import LocalReader, ServedModel
from crnnkit.serving.server import app_for, create_app

BOX = "[[10, 10], [50, 10], [50, 20], [10, 20]]"


def png(image: np.ndarray | None = None) -> bytes:
    if image is None:
        image = np.full((60, 90), 255, np.uint8)
        image[10:20, 10:50] = 0
    encoded = io.BytesIO()
    Image.fromarray(image).save(encoded, "PNG")
    return encoded.getvalue()


@pytest.fixture
def client(fake_model, tmp_path: Path) -> FlaskClient:
    return app_for(fake_model, ServerConfig(feedback_dir=tmp_path / "feedback")).test_client()


def post(client: FlaskClient, path: str = "/api/ocr", **fields: object) -> TestResponse:
    fields = {"image": (io.BytesIO(png()), "a.png"), **fields}
    return client.post(path, data={name: value for name, value in fields.items() if value})


def refusal(response: TestResponse) -> tuple[int, str]:
    assert set(response.json) == {"error"}
    return response.status_code, response.json["error"]["code"]


# ---------- options of reading ----------


def test_chars_gives_each_characters_confidence(client, fake_reader):
    for line, (text, confidence) in zip(
        post(client, chars="1").json["text"], fake_reader.lines, strict=True
    ):
        assert "".join(char["char"] for char in line["chars"]) == text
        assert {char["confidence"] for char in line["chars"]} == {round(confidence, 6)}
        boxes = [char["box"] for char in line["chars"]]
        assert boxes[0][0] == line["box"][0]
        assert boxes[-1][2] == line["box"][2]
        assert boxes[0][1] == boxes[1][0]
    assert "chars" not in post(client, chars="0").json["text"][0]


@pytest.mark.parametrize(("least", "number"), [("0", 3), ("0.4", 3), ("0.75", 2), ("1", 0)])
def test_lines_below_min_confidence_are_left_out(client, least, number):
    assert len(post(client, min_confidence=least).json["text"]) == number


def test_options_may_stand_in_the_address_too(client):
    assert len(post(client, "/api/ocr?min_confidence=0.75").json["text"]) == 2


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"chars": "0123456789"}, "bad_option"),  # what may come out is `charset`
        ({"min_confidence": "high"}, "bad_option"),
        ({"min_confidence": "1.1"}, "bad_option"),
        ({"min_confidence": "nan"}, "bad_option"),
        ({"patern": "A"}, "unknown_field"),
        ({"check": "dates"}, "bad_constraint"),
        ({"picture": (io.BytesIO(b"x"), "b.png")}, "unknown_field"),
    ],
)
def test_an_option_that_would_be_ignored_is_refused(client, fields, code):
    assert refusal(post(client, **fields)) == (400, code)


@pytest.mark.parametrize("name", [*MAX_CONSTRAINT_LENGTH, "chars", "min_confidence"])
def test_a_text_field_that_comes_as_a_file_is_refused(client, name):
    answer = post(client, **{name: (io.BytesIO(b"1"), "drugs.txt")})
    assert refusal(answer) == (400, "field_as_file")
    assert f"-F '{name}=<FILE'" in answer.json["error"]["message"]


@pytest.mark.parametrize(
    ("path", "given"), [("/api/ocr", ["0.1", "0.9"]), ("/api/ocr?min_confidence=0.9", ["0.9"])]
)
def test_a_field_that_comes_twice_is_refused(client, path, given):
    assert refusal(post(client, path, min_confidence=given)) == (400, "repeated_field")


def test_a_picture_that_comes_as_text_is_refused(client):
    assert refusal(post(client, image=[(io.BytesIO(png()), "a.png"), "b.png"])) == (400, "no_image")


def test_a_correction_that_comes_as_a_file_is_refused(client):
    answer = post(client, "/api/feedback", box=BOX, text=(io.BytesIO(b"A"), "a.txt"))
    assert refusal(answer) == (400, "field_as_file")


def test_a_check_tells_of_every_line_whether_it_obeys(onnx_path, make_line):
    client = create_app(onnx_path, ServerConfig()).test_client()
    texts = {
        check: post(client, image=(io.BytesIO(png(make_line("AB 12"))), "a.png"), check=check).json
        for check in ("date", "")
    }
    assert [line["passes_check"] for line in texts["date"]["text"]] == [False]
    assert all("passes_check" not in line for line in texts[""]["text"])


# ---------- many at once ----------


@pytest.fixture
def held_app(fake_model, held_reader, tmp_path) -> Flask:
    """A service of one thread around the reader that waits."""
    model = ServedModel(fake_model.path, load=lambda path: LocalReader(held_reader))
    return app_for(model, ServerConfig(threads=1, queue=1, feedback_dir=tmp_path / "kept"))


def test_a_full_queue_answers_at_once_when_to_come_back(held_app, held_reader, wait_until):
    app = held_app
    gate = app.extensions["crnnkit"].gate
    with ThreadPoolExecutor(4) as pool:
        let_in = [pool.submit(post, app.test_client()) for _ in range(2)]
        try:
            wait_until(lambda: gate._inside == 2)
            refused = pool.submit(post, app.test_client())
            corrected = pool.submit(post, app.test_client(), "/api/feedback", box=BOX, text="A")
            wait_until(lambda: refused.done() and corrected.done())  # while the others wait
        finally:
            held_reader.may_end.set()
        assert [done.result(20).status_code for done in let_in] == [200, 200]
    assert refusal(refused.result()) == refusal(corrected.result()) == (503, "busy")
    assert refused.result().headers["Retry-After"] == "1"


def test_64_threads_each_get_the_answer_of_their_own_picture(onnx_path, recognizer, make_line):
    texts = ["北京 1", "2 市", "AB 34567", "0", "9988 77", "北 A", "京京 5", "B1 B2 B3 B4"]
    pictures = [png(make_line(text)) for text in texts]
    expected = [[line.text for line in recognizer.read_page(picture)] for picture in pictures]
    assert len({str(lines) for lines in expected}) > 4  # answers that could be mistaken
    app = create_app(onnx_path, ServerConfig(threads=64))

    def ask(number: int) -> list[tuple[int, list[str]]]:
        answers = []
        for i in range(3):
            which = (number + i) % len(pictures)
            files = [(io.BytesIO(pictures[which]), "a.png")]
            answer = app.test_client().post("/api/ocr", data={"image": files})
            answers.append((which, [line["text"] for line in answer.json["text"]]))
        return answers

    with ThreadPoolExecutor(64) as pool:
        for answers in pool.map(ask, range(64)):
            for which, lines in answers:
                assert lines == expected[which]


# ---------- models ----------


def test_models_are_told_reloaded_and_restored(client, fake_model):
    first = client.get("/api/models").json
    assert first["current"]["name"] == "fake.onnx"
    assert re.fullmatch(r"[0-9a-f]{64}", first["current"]["sha256"])
    assert (first["previous"], first["fault"]) == (None, None)
    assert refusal(client.post("/api/models/restore")) == (409, "no_previous_model")
    fake_model.path.write_bytes(b"another")
    second = client.post("/api/models/reload").json
    assert second["previous"] == first["current"]
    assert second["current"]["sha256"] != first["current"]["sha256"]
    third = client.post("/api/models/restore").json
    assert (third["current"], third["previous"]) == (first["current"], second["current"])


def test_a_refused_file_is_told_by_reload_and_readyz(onnx_path, tmp_path):
    path = tmp_path / "serving.onnx"
    path.write_bytes(onnx_path.read_bytes())
    client = create_app(path).test_client()
    path.write_bytes(b"no model")
    refused = client.post("/api/models/reload")
    assert refusal(refused) == (409, "model_refused")
    assert "serving.onnx: no readable ONNX file" in refused.json["error"]["message"]
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json["status"]) == (200, "ready")
    assert "serving.onnx: no readable ONNX file" in ready.json["fault"]
    assert client.get("/api/models").json["fault"] == ready.json["fault"]
    assert sample(client.get("/metrics").text, "crnnkit_model_fault") == 1
    assert post(client).status_code == 200
    path.write_bytes(onnx_path.read_bytes())
    assert client.post("/api/models/reload").json["fault"] is None
    assert sample(client.get("/metrics").text, "crnnkit_model_fault") == 0


def test_who_drains_is_not_ready_and_takes_no_more(fake_model):
    app = app_for(fake_model, ServerConfig())
    app.extensions["crnnkit"].gate.drain(0)
    client = app.test_client()
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json["status"]) == (503, "draining")
    assert client.get("/healthz").status_code == 200
    assert refusal(post(client)) == (503, "busy")


# ---------- corrections ----------


def test_a_correction_is_kept_and_deleted(client, tmp_path):
    kept = post(client, "/api/feedback", box=BOX, text="GL-2024")
    assert kept.status_code == 201
    (line,) = read_index(tmp_path / "feedback/feedback.txt")
    assert line.text == "GL-2024"
    assert np.array(Image.open(line.image)).shape == (10, 40)
    name = kept.json["id"]
    assert client.delete(f"/api/feedback/{name}").status_code == 204
    assert refusal(client.delete(f"/api/feedback/{name}")) == (404, "no_such_correction")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"box": BOX}, (400, "bad_correction")),  # no text
        ({"text": "A"}, (400, "bad_option")),  # no box
        ({"text": "A", "box": "[[1, 2]]"}, (400, "bad_option")),
        ({"text": "A", "box": BOX.replace("10", "NaN")}, (400, "bad_option")),
        ({"text": "A", "box": "[" * 10_000}, (400, "bad_option")),
        ({"text": "A", "box": '[["x", 1], [1, 1], [1, 1], [1, 1]]'}, (400, "bad_option")),
        ({"text": "A", "box": BOX, "txt": "B"}, (400, "unknown_field")),
        (
            {"text": "A", "box": BOX, "image": (io.BytesIO(b"x"), "a.png")},
            (415, "unreadable_image"),
        ),
        ({"text": "A", "box": BOX, "image": None}, (400, "no_image")),
    ],
)
def test_a_correction_that_teaches_nothing_is_refused(client, tmp_path, fields, expected):
    assert refusal(post(client, "/api/feedback", **fields)) == expected
    assert (tmp_path / "feedback/feedback.txt").read_bytes() == b""


def test_a_correction_is_of_one_picture(client, tmp_path):
    pictures = [(io.BytesIO(png()), name) for name in ("a.png", "b.png")]
    answer = post(client, "/api/feedback", image=pictures, box=BOX, text="A")
    assert refusal(answer) == (400, "bad_option")
    assert (tmp_path / "feedback/feedback.txt").read_bytes() == b""


def test_corrections_are_off_unless_switched_on(fake_model):
    client = app_for(fake_model, ServerConfig()).test_client()
    assert refusal(post(client, "/api/feedback", box=BOX, text="A")) == (404, "feedback_off")
    assert refusal(client.delete("/api/feedback/x")) == (404, "feedback_off")


# ---------- who may ask ----------


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/ocr"),
        ("GET", "/api/models"),
        ("POST", "/api/models/restore"),
        ("DELETE", "/api/feedback/x"),
        ("GET", "/metrics"),
    ],
)
@pytest.mark.parametrize("key", [None, "", "wrong", "schlüssel"])
def test_without_the_key_nothing_is_told(fake_model, method, path, key):
    client = app_for(fake_model, ServerConfig(api_key="secret")).test_client()
    headers = {} if key is None else {"X-API-Key": key}
    assert refusal(client.open(path, method=method, headers=headers)) == (401, "no_key")


def test_with_the_key_all_is_open_and_the_page_without(fake_model):
    client = app_for(fake_model, ServerConfig(api_key="secret")).test_client()
    assert client.get("/api/models", headers={"X-API-Key": "secret"}).status_code == 200
    assert client.get("/").status_code == 200
    assert client.get("/healthz").json["needs_key"] is True


@pytest.mark.parametrize(
    ("site", "status"),
    [("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200), (None, 200)],
)
def test_pages_of_other_addresses_may_not_post(client, site, status):
    headers = {} if site is None else {"Sec-Fetch-Site": site}
    assert client.post("/api/models/reload", headers=headers).status_code == status


def test_the_limits_are_those_that_are_promised():
    config = ServerConfig()
    assert (config.max_upload_mb, config.max_images, MAX_PIXELS) == (20, 64, 50_000_000)
    assert (config.api_key, config.feedback_dir) == (None, None)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"max_upload_mb": 0}, "max_upload_mb is 0; it must be at least 1"),
        ({"threads": 0, "queue": -1}, "threads is 0.*queue is -1"),  # all faults at once
        ({"api_key": ""}, "api_key"),
        ({"api_key": "鍵"}, "api_key"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, reason):
    with pytest.raises(ConfigError, match=reason):
        ServerConfig(**settings)


# ---------- numbers ----------


def sample(text: str, name: str) -> float:
    """Value of one line of the metrics; 0 where it is not there yet."""
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0


def test_metrics_count_answers_and_confidences(client):
    names = {
        'crnnkit_requests_total{route="/api/ocr",status="200"}': 1,
        'crnnkit_requests_total{route="/api/ocr",status="400"}': 1,
        'crnnkit_requests_total{route="none",status="404"}': 1,
        "crnnkit_line_confidence_count": 3,
        'crnnkit_line_confidence_bucket{le="0.5"}': 1,
        'crnnkit_line_confidence_bucket{le="0.8"}': 2,
    }
    before = client.get("/metrics").text
    post(client, min_confidence="0.9")  # lines left out of the answer count too
    post(client, patern="A")
    client.get("/nowhere")
    after = client.get("/metrics").text
    assert {name: sample(after, name) - sample(before, name) for name in names} == names
    assert sample(after, "process_resident_memory_bytes") > 1e6


def test_the_document_describes_every_route(client):
    document = client.get("/openapi.json").json
    described = {
        (re.sub(r"{\w+}", "<name>", path), method.upper())
        for path, operations in document["paths"].items()
        for method in operations
    }
    routes = {
        (rule.rule, method)
        for rule in client.application.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if rule.rule not in ("/", "/web/<path:filename>")
    }
    assert described == routes
    assert json.dumps(document)
