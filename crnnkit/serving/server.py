"""The web service as an application and as a process: limits, headers, errors, start and end."""

import hmac
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import waitress
from flask import Flask, Response, current_app, g, json, jsonify, request
from flask.json.provider import DefaultJSONProvider
from waitress import wasyncore
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as BaseResponse

from crnnkit.errors import ConfigError, CrnnKitError
from crnnkit.serving import memory, monitoring
from crnnkit.serving.api import EXTENSION, RefusedError, Service, api, service
from crnnkit.serving.batching import BusyError, Gate
from crnnkit.serving.config import HOST, PORT, ServerConfig
from crnnkit.serving.feedback import FeedbackStore
from crnnkit.serving.models import ServedModel
from crnnkit.serving.processes import ReaderProcesses

DRAIN_SECONDS = 25
"""How long requests may take to finish after SIGTERM; container engines kill after 10 or 30."""
RETRY_AFTER_SECONDS = 1
SPARE_THREADS = 4
"""Beside those that read or wait: for health, pages and refusals."""

_MEGABYTE = 1024 * 1024
# The page needs nothing from elsewhere; blob: is the preview of a picture not yet uploaded.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class _ReadableJson(DefaultJSONProvider):
    """Characters as they are, keys in the documented order."""

    ensure_ascii = False
    sort_keys = False


def create_app(model_path: str | Path, config: ServerConfig | None = None) -> Flask:
    """The service around the model in a file.

    Raises:
        CheckpointError: if the file is missing or no model of ours.
        DatasetError: if corrections are to be kept where they cannot be.
    """
    config = config or ServerConfig()
    if config.processes == 1:
        return app_for(ServedModel(model_path), config)
    processes = ReaderProcesses(config.processes, config.threads)
    try:
        return app_for(ServedModel(model_path, processes.load), config, processes)
    except CrnnKitError:
        processes.close()
        raise


def app_for(
    model: ServedModel, config: ServerConfig, processes: ReaderProcesses | None = None
) -> Flask:
    """The service around a model that is loaded already; see `create_app`.

    Args:
        processes: that read, to be ended with the service.
    """
    app = Flask(__name__, static_folder="web", static_url_path="/web")
    app.config["MAX_CONTENT_LENGTH"] = config.max_upload_mb * _MEGABYTE
    feedback = config.feedback_dir and FeedbackStore(config.feedback_dir, config.feedback_days)
    gate = Gate(config.threads, config.queue)
    app.extensions[EXTENSION] = Service(config, model, gate, feedback or None, processes)
    app.json = _ReadableJson(app)
    app.register_blueprint(api)
    app.add_url_rule("/", "page", lambda: app.send_static_file("index.html"))
    app.before_request(_admit)
    app.register_error_handler(RefusedError, _answer_refused)
    app.register_error_handler(BusyError, _answer_busy)
    app.register_error_handler(HTTPException, _answer_http_error)
    app.after_request(_finish)
    return app


def serve(
    model_path: str | Path,
    host: str = HOST,
    port: int = PORT,
    config: ServerConfig | None = None,
) -> None:
    """Serve a model until SIGTERM or Ctrl-C; requests being answered are answered first.

    Raises:
        CheckpointError: if the file is missing or no model of ours.
        ConfigError: if the address cannot be had.
        DatasetError: if corrections are to be kept where they cannot be.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    memory.keep_small()
    server, running, _ = _listening(model_path, host, port, config or ServerConfig())
    running.watch()
    _drain_on_sigterm(running.gate)
    server.print_listen("crnnkit serves on http://{}:{}  (Ctrl-C ends it)")
    try:
        server.run()
    finally:
        running.close()


@dataclass(frozen=True)
class RunningService:
    """A service in a thread of this process."""

    address: str
    """Where it listens, without a slash at the end."""
    stop: Callable[[], None]
    """Answers what runs, then ends."""


def start(model_path: str | Path, config: ServerConfig | None = None) -> RunningService:
    """Serve in the background on a free port of this computer, for notebooks; see `serve`."""
    server, running, sockets = _listening(model_path, "127.0.0.1", 0, config or ServerConfig())
    running.watch()
    thread = threading.Thread(target=server.run, name="service", daemon=True)
    thread.start()

    def stop() -> None:
        running.gate.drain(DRAIN_SECONDS)
        running.close()
        # In the loop's own thread: from another one it would be left waiting for closed sockets.
        # An answer may have woken the loop meanwhile: it closes, and the trigger is gone.
        with suppress(OSError):
            server.trigger.pull_trigger(lambda: wasyncore.close_all(sockets, ignore_all=True))
        thread.join()
        server.task_dispatcher.shutdown()

    return RunningService(f"http://127.0.0.1:{server.effective_port}", stop)


def _listening(
    model_path: str | Path, host: str, port: int, config: ServerConfig
) -> tuple[Any, Service, dict[int, Any]]:
    """A waitress server that has its port, what its application shares, and its open sockets."""
    app = create_app(model_path, config)
    sockets: dict[int, Any] = {}
    threads = config.threads + config.queue + SPARE_THREADS
    try:
        # waitress refuses without a JSON body, so it only cuts off what is far too large.
        server = waitress.create_server(
            app,
            map=sockets,
            host=host,
            port=port,
            threads=threads,
            connection_limit=10 * threads,
            max_request_body_size=4 * config.max_upload_mb * _MEGABYTE,
        )
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"server: cannot listen on {host}:{port}: {error}. "
            "Choose another --port, or end the program that uses this one."
        ) from None
    return server, app.extensions[EXTENSION], sockets


def _drain_on_sigterm(gate: Gate) -> None:
    """Process 1 of a container has no default action for SIGTERM, so it needs one of its own."""

    def drain() -> None:
        if not gate.drain(DRAIN_SECONDS):
            logging.warning("requests still ran after %s s and are cut off", DRAIN_SECONDS)
        # waitress takes the interrupt as the order to write its last answers and to end.
        os.kill(os.getpid(), signal.SIGINT)

    def begin(signum: int, frame: FrameType | None) -> None:
        threading.Thread(target=drain, daemon=True).start()

    signal.signal(signal.SIGTERM, begin)
    # A shell starts background jobs with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _admit() -> None:
    """Start the clock; refuse who has no key, and pages elsewhere that post in a user's name."""
    g.started = time.perf_counter()
    key = service().config.api_key
    is_open = not request.path.startswith("/api/") and request.path != "/metrics"
    if key is not None and not is_open:
        given = request.headers.get("X-API-Key", "")
        if not hmac.compare_digest(given.encode(), key.encode()):
            raise RefusedError(401, "no_key", "Send the service's key in the header X-API-Key.")
    is_foreign = request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site")
    if is_foreign and request.method not in ("GET", "HEAD", "OPTIONS"):
        raise RefusedError(403, "foreign_page", "Pages of other addresses may not post here.")


def _answer_refused(error: RefusedError) -> tuple[Response, int]:
    return jsonify(error={"code": error.code, "message": error.message}), error.status


def _answer_busy(error: BusyError) -> tuple[Response, int, dict[str, str]]:
    message = "Too many requests at once. Try again in a second."
    answer, status = _answer_refused(RefusedError(503, "busy", message))
    return answer, status, {"Retry-After": str(RETRY_AFTER_SECONDS)}


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


def _finish(response: Response) -> Response:
    """Headers of every answer, and its entry in the metrics."""
    response.headers.update(_HEADERS)
    if request.path.startswith("/api/"):
        response.headers["Cache-Control"] = "no-store"
    route = request.url_rule.rule if request.url_rule else "none"
    monitoring.REQUESTS.labels(route, response.status_code).inc()
    monitoring.REQUEST_SECONDS.labels(route).observe(time.perf_counter() - g.started)
    return response
