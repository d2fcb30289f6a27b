"""The web page and its REST interface: pictures in, lines of text with places out."""

import logging
import signal
import time
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, Protocol

import waitress
from flask import Blueprint, Flask, Response, current_app, json, jsonify, request
from flask.json.provider import DefaultJSONProvider
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as BaseResponse

from crnnkit.errors import ConfigError, ImageError, VocabError
from crnnkit.model.constraints import Constraint, constraint_of
from crnnkit.preprocessing.images import ImageSource
from crnnkit.serving.readings import PageLine
from crnnkit.serving.recognizer import Recognizer
from crnnkit.vocab import Vocab

MAX_UPLOAD_MB = 20
MAX_IMAGES = 64
MAX_CONSTRAINT_LENGTH = {"pattern": 1000, "lexicon": 100_000, "chars": 10_000}
"""Most characters of each form field that says what may come out."""

_MEGABYTE = 1024 * 1024
# The page needs nothing from elsewhere; blob: is the preview of a picture not yet uploaded.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

_api = Blueprint("api", __name__)


class PageReader(Protocol):
    """What the server needs of a recogniser."""

    @property
    def name(self) -> str:
        """The model's name, for people."""

    @property
    def vocab(self) -> Vocab:
        """The characters it knows."""

    def read_page(
        self, source: ImageSource, constraint: Constraint | None = None
    ) -> list[PageLine]:
        """The lines of one picture in reading order."""


class _RefusedError(Exception):
    """A request that is answered with `status` and an error body."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class _ReadableJson(DefaultJSONProvider):
    """Characters as they are, keys in the documented order."""

    ensure_ascii = False
    sort_keys = False


def create_app(
    model_path: str | Path, max_upload_mb: int = MAX_UPLOAD_MB, max_images: int = MAX_IMAGES
) -> Flask:
    """The service around the model in a file.

    Args:
        model_path: an .onnx or .safetensors file of crnnkit.
        max_upload_mb: largest request, MiB, all its pictures together.
        max_images: most pictures in one request.

    Raises:
        CheckpointError: if the file is missing or no model of ours.
    """
    return app_for(Recognizer.load(model_path), max_upload_mb, max_images)


def app_for(
    reader: PageReader, max_upload_mb: int = MAX_UPLOAD_MB, max_images: int = MAX_IMAGES
) -> Flask:
    """The service around a recogniser that is loaded already; see `create_app`."""
    if max_upload_mb < 1 or max_images < 1:
        raise ConfigError(
            f"server: max_upload_mb={max_upload_mb}, max_images={max_images}. "
            "Both must be at least 1."
        )
    app = Flask(__name__, static_folder="web", static_url_path="/web")
    app.config.update(MAX_CONTENT_LENGTH=max_upload_mb * _MEGABYTE, MAX_IMAGES=max_images)
    app.extensions["crnnkit_reader"] = reader
    app.json = _ReadableJson(app)
    app.register_blueprint(_api)
    app.register_error_handler(_RefusedError, _answer_refused)
    app.register_error_handler(HTTPException, _answer_http_error)
    app.after_request(_add_headers)
    return app


def serve(
    model_path: str | Path,
    host: str = "127.0.0.1",
    port: int = 5000,
    threads: int = 4,
    max_upload_mb: int = MAX_UPLOAD_MB,
) -> None:
    """Serve a model until SIGTERM or Ctrl-C; requests being answered are answered first.

    Raises:
        CheckpointError: if the file is missing or no model of ours.
        ConfigError: if the address cannot be had.
    """
    app = create_app(model_path, max_upload_mb)
    try:
        # waitress refuses without a JSON body, so it only cuts off what is far too large.
        server = waitress.create_server(
            app,
            host=host,
            port=port,
            threads=threads,
            max_request_body_size=4 * max_upload_mb * _MEGABYTE,
        )
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"server: cannot listen on {host}:{port}: {error}. "
            "Choose another --port, or end the program that uses this one."
        ) from None
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    signal.signal(signal.SIGTERM, _stop)
    server.print_listen("crnnkit serves on http://{}:{}  (Ctrl-C ends it)")
    server.run()


def _stop(signum: int, frame: FrameType | None) -> NoReturn:
    # Process 1 of a container has no default action for SIGTERM. waitress takes
    # SystemExit as the order to finish the requests at hand.
    raise SystemExit(0)


@_api.get("/")
def _page() -> Response:
    return current_app.send_static_file("index.html")


@_api.get("/healthz")
def _health() -> Response:
    config = current_app.config
    return jsonify(
        status="ok",
        model=_reader().name,
        max_upload_mb=config["MAX_CONTENT_LENGTH"] // _MEGABYTE,
        max_images=config["MAX_IMAGES"],
    )


@_api.post("/api/ocr")
def _read() -> Response:
    uploads = [upload for upload in request.files.getlist("image") if upload.filename]
    if not uploads:
        raise _RefusedError(
            400, "no_image", "No picture came. Send it as the multipart form field 'image'."
        )
    limit = current_app.config["MAX_IMAGES"]
    if len(uploads) > limit:
        raise _RefusedError(
            413, "too_many_images", f"{len(uploads)} pictures came. Send at most {limit} at once."
        )
    constraint = _constraint()
    results = [
        _read_upload(upload, number, constraint) for number, upload in enumerate(uploads, start=1)
    ]
    return jsonify(results[0] if len(results) == 1 else {"results": results})


def _constraint() -> Constraint | None:
    """What the form fields `pattern`, `lexicon` (one text a line) or `chars` let come out."""
    given = {name: request.form.get(name) or None for name in MAX_CONSTRAINT_LENGTH}
    for name, value in given.items():
        limit = MAX_CONSTRAINT_LENGTH[name]
        if value is not None and len(value) > limit:
            message = f"{name}: {len(value)} characters came. Send at most {limit}."
            raise _RefusedError(400, "bad_constraint", message)
    texts = None if given["lexicon"] is None else given["lexicon"].splitlines()
    try:
        return constraint_of(_reader().vocab, given["pattern"], texts, given["chars"])
    except (ConfigError, VocabError) as error:
        raise _RefusedError(400, "bad_constraint", str(error)) from None


def _read_upload(upload: FileStorage, number: int, constraint: Constraint | None) -> dict[str, Any]:
    """One picture's part of the answer; seconds include decoding the picture."""
    started = time.perf_counter()
    try:
        lines = _reader().read_page(upload.read(), constraint)
    except ImageError as error:
        raise _RefusedError(
            415, "unreadable_image", f"picture {number} ({upload.filename!r}): {error}"
        ) from None
    return {
        "text": [_line_json(line) for line in lines],
        "total_time": round(time.perf_counter() - started, 4),
    }


def _line_json(line: PageLine) -> dict[str, Any]:
    box = [[round(float(x), 1), round(float(y), 1)] for x, y in line.box]
    return {"text": line.text, "confidence": round(line.confidence, 6), "box": box}


def _reader() -> PageReader:
    reader: PageReader = current_app.extensions["crnnkit_reader"]
    return reader


def _answer_refused(error: _RefusedError) -> tuple[Response, int]:
    return jsonify(error={"code": error.code, "message": error.message}), error.status


def _answer_http_error(error: HTTPException) -> BaseResponse:
    """Flask's own errors in our form, with their headers kept (405 needs its Allow)."""
    message = error.description or error.name
    if error.code == 413:
        limit = current_app.config["MAX_CONTENT_LENGTH"] // _MEGABYTE
        message = f"The request is larger than {limit} MB or has too many parts. Send less."
    response = error.get_response()
    response.data = json.dumps({"error": {"code": _code(error), "message": message}})
    response.content_type = "application/json"
    return response


def _code(error: HTTPException) -> str:
    return "too_large" if error.code == 413 else error.name.lower().replace(" ", "_")


def _add_headers(response: Response) -> Response:
    response.headers.update(_HEADERS)
    if request.path.startswith("/api/"):
        response.headers["Cache-Control"] = "no-store"
    return response
