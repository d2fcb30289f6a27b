"""The REST interface: requests checked, read and answered; `openapi.yaml` describes it."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
import yaml
from flask import Blueprint, Response, current_app, jsonify, request
from numpy.typing import NDArray
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from werkzeug.datastructures import FileStorage

from crnnkit import __version__
from crnnkit.errors import CheckpointError, ConfigError, DatasetError, ImageError, VocabError
from crnnkit.preprocessing.images import read_image
from crnnkit.serving import monitoring
from crnnkit.serving.batching import Gate
from crnnkit.serving.config import ServerConfig
from crnnkit.serving.feedback import FeedbackStore
from crnnkit.serving.models import LoadedModel, ServedModel
from crnnkit.serving.processes import ReaderProcesses
from crnnkit.serving.readings import PageLine
from crnnkit.serving.tasks import Pages, PictureError, Task

MAX_CONSTRAINT_LENGTH = {"pattern": 1000, "lexicon": 100_000, "charset": 10_000, "check": 60}
"""Most characters of each field that says what may or should come out."""
EXTENSION = "crnnkit"

api = Blueprint("api", __name__)


@dataclass(frozen=True)
class Service:
    """What the requests of one application share."""

    config: ServerConfig
    model: ServedModel
    gate: Gate
    feedback: FeedbackStore | None
    processes: ReaderProcesses | None = None
    """That read; None = this one does."""

    def watch(self) -> None:
        """Take up new models and delete old corrections from now on, until `close`."""
        self.model.watch()
        if self.feedback is not None:
            self.feedback.watch()

    def close(self) -> None:
        """Watch no more, and end the processes that read."""
        self.model.close()
        if self.feedback is not None:
            self.feedback.close()
        if self.processes is not None:
            self.processes.close()


class RefusedError(Exception):
    """A request that is answered with `status` and an error body."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def service() -> Service:
    """The service of the application at hand."""
    found: Service = current_app.extensions[EXTENSION]
    return found


# ---------- reading ----------


@api.post("/api/ocr")
def _ocr() -> Response:
    started = time.perf_counter()
    with service().gate.turn():  # before anything of the body is looked at
        uploads = _uploads()
        options = _options(*MAX_CONSTRAINT_LENGTH, "chars", "min_confidence")
        with_chars, min_confidence = _with_chars(options), _min_confidence(options)
        pages = _read(uploads, _wanted(options))
    seconds = round(time.perf_counter() - started, 4)
    for line in (line for page in pages for line in page):
        monitoring.CONFIDENCE.observe(line.confidence)
    results = [
        {
            "text": [_line_json(x, with_chars) for x in page if x.confidence >= min_confidence],
            "total_time": seconds,
        }
        for page in pages
    ]
    return jsonify(results[0] if len(results) == 1 else {"results": results})


def _uploads() -> list[FileStorage]:
    uploads = [upload for upload in request.files.getlist("image") if upload.filename]
    if not uploads or "image" in request.values:
        what = "A picture's field came as text" if "image" in request.values else "No picture came"
        message = f"{what}. Send it as the multipart form field 'image': curl -F image=@FILE."
        raise RefusedError(400, "no_image", message)
    limit = service().config.max_images
    if len(uploads) > limit:
        raise RefusedError(
            413, "too_many_images", f"{len(uploads)} pictures came. Send at most {limit} at once."
        )
    return uploads


def _read(uploads: list[FileStorage], wanted: Mapping[str, str | None]) -> Pages:
    """What the pictures say."""
    task = Task(tuple(upload.read() for upload in uploads), **wanted)
    try:
        return service().model.current.reader.read(task)
    except PictureError as error:
        raise _unreadable(uploads[error.index], error.index, error) from None
    except (ConfigError, VocabError) as error:
        raise RefusedError(400, "bad_constraint", str(error)) from None


def _unreadable(upload: FileStorage, index: int, error: ImageError) -> RefusedError:
    message = f"picture {index + 1} ({upload.filename!r}): {error}"
    return RefusedError(415, "unreadable_image", message)


def _options(*known: str) -> dict[str, str]:
    """The fields beside the pictures; none must be passed over in silence."""
    options = request.values.to_dict()
    # A part without a name has the name None.
    unknown = sorted(map(str, {*options, *request.files} - {*known, "image"}))
    if unknown:
        raise RefusedError(
            400,
            "unknown_field",
            f"{', '.join(map(repr, unknown))}: no such field. Known: image, {', '.join(known)}.",
        )
    for name in known:
        if name in request.files:
            how = f"curl does so with -F '{name}=<FILE', where @ sends a file."
            raise RefusedError(400, "field_as_file", f"{name} came as a file; send its text: {how}")
        if len(request.values.getlist(name)) > 1:
            message = f"{name} came more than once, in the form or the address; send it once."
            raise RefusedError(400, "repeated_field", message)
    return options


def _wanted(options: Mapping[str, str]) -> dict[str, str | None]:
    """What the fields `pattern`, `lexicon` (one text a line) or `charset` let come out, and what
    `check` prefers."""
    given = {name: options.get(name) or None for name in MAX_CONSTRAINT_LENGTH}
    for name, value in given.items():
        limit = MAX_CONSTRAINT_LENGTH[name]
        if value is not None and len(value) > limit:
            message = f"{name}: {len(value)} characters came. Send at most {limit}."
            raise RefusedError(400, "bad_constraint", message)
    return given


def _with_chars(options: Mapping[str, str]) -> bool:
    value = options.get("chars") or "0"
    if value not in ("0", "1"):
        message = f"chars is {value[:60]!r}; it must be 0 or 1. What may come out is 'charset'."
        raise RefusedError(400, "bad_option", message)
    return value == "1"


def _min_confidence(options: Mapping[str, str]) -> float:
    value = options.get("min_confidence") or "0"
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not 0 <= number <= 1:
        message = f"min_confidence is {value[:60]!r}; it must be a number from 0 to 1."
        raise RefusedError(400, "bad_option", message)
    return number


def _line_json(line: PageLine, with_chars: bool) -> dict[str, Any]:
    answer = {
        "text": line.text,
        "confidence": round(line.confidence, 6),
        "box": _box_json(line.box),
    }
    if line.passes_check is not None:
        answer["passes_check"] = line.passes_check
    if with_chars:
        chars = zip(line.text, line.char_confidences, line.char_boxes, strict=True)
        answer["chars"] = [
            {"char": char, "confidence": round(confidence, 6), "box": _box_json(box)}
            for char, confidence, box in chars
        ]
    return answer


def _box_json(box: NDArray[np.float32]) -> list[list[float]]:
    return [[round(float(x), 1), round(float(y), 1)] for x, y in box]


# ---------- models ----------


@api.get("/api/models")
def _models() -> Response:
    model = service().model
    return jsonify(
        current=_model_json(model.current),
        previous=model.previous and _model_json(model.previous),
        fault=model.fault,
    )


@api.post("/api/models/reload")
def _reload() -> Response:
    try:
        service().model.reload()
    except CheckpointError as error:
        raise RefusedError(409, "model_refused", f"The old model goes on: {error}") from None
    return _models()


@api.post("/api/models/restore")
def _restore() -> Response:
    try:
        service().model.restore()
    except ConfigError as error:
        raise RefusedError(409, "no_previous_model", str(error)) from None
    return _models()


def _model_json(loaded: LoadedModel) -> dict[str, Any]:
    return {
        "name": loaded.reader.name,
        "sha256": loaded.sha256,
        "loaded_at": loaded.loaded_at,
        "characters": len(loaded.reader.vocab.charset),
    }


# ---------- corrections ----------


@api.post("/api/feedback")
def _add_feedback() -> tuple[Response, int]:
    with service().gate.turn():
        store = _feedback()
        (upload, *more) = _uploads()
        if more:
            raise RefusedError(400, "bad_option", "A correction belongs to one picture; send one.")
        options = _options("box", "text")
        box, text = _box(options), options.get("text", "")
        try:
            page = read_image(upload.read())
        except ImageError as error:
            raise _unreadable(upload, 0, error) from None
        try:
            name = store.add(page, box, text)
        except DatasetError as error:
            raise RefusedError(400, "bad_correction", str(error)) from None
    return jsonify(id=name), 201


@api.delete("/api/feedback/<name>")
def _delete_feedback(name: str) -> tuple[str, int]:
    if not _feedback().delete(name):
        raise RefusedError(404, "no_such_correction", "No correction of that name is kept.")
    return "", 204


def _feedback() -> FeedbackStore:
    store = service().feedback
    if store is None:
        raise RefusedError(
            404, "feedback_off", "No corrections are kept here. crnnkit serve --feedback DIR does."
        )
    return store


def _box(options: Mapping[str, str]) -> NDArray[np.float32]:
    """The corners that the field `box` gives, as `/api/ocr` answered them."""
    value = options.get("box", "")
    try:
        box = np.array(json.loads(value), np.float32)
    except (ValueError, TypeError, RecursionError):
        box = np.empty(0, np.float32)
    if box.shape != (4, 2) or not np.isfinite(box).all():
        message = f"box is {value[:60]!r}; it must be [[x, y], [x, y], [x, y], [x, y]] in pixels."
        raise RefusedError(400, "bad_option", message)
    return box


# ---------- state ----------


@api.get("/healthz")
def _health() -> Response:
    """Whether the process answers, and what the page must know."""
    config = service().config
    return jsonify(
        status="ok",
        version=__version__,
        model=service().model.current.reader.name,
        max_upload_mb=config.max_upload_mb,
        max_images=config.max_images,
        needs_key=config.api_key is not None,
        keeps_feedback=service().feedback is not None,
    )


@api.get("/readyz")
def _ready() -> tuple[Response, int]:
    """Whether new requests are welcome; `fault` says why the model's file is not served."""
    is_draining = service().gate.is_closed
    answer = jsonify(
        status="draining" if is_draining else "ready",
        model_sha256=service().model.current.sha256,
        fault=service().model.fault,
    )
    return answer, 503 if is_draining else 200


@api.get("/metrics")
def _metrics() -> Response:
    return Response(generate_latest(monitoring.REGISTRY), content_type=CONTENT_TYPE_LATEST)


@api.get("/openapi.json")
def _openapi() -> Response:
    document = files("crnnkit.serving").joinpath("openapi.yaml").read_text("utf-8")
    return jsonify(yaml.safe_load(document))
