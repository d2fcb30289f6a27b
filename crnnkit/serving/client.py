"""Ask a service over HTTP, as a program elsewhere would."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from werkzeug.datastructures import FileStorage
from werkzeug.test import encode_multipart

TIMEOUT_SECONDS = 60


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    """HTTP status."""
    body: dict[str, Any]
    """The JSON; of a refused request `{"error": {"code", "message"}}`."""


def post(
    url: str,
    pictures: Sequence[Path] = (),
    fields: Mapping[str, str] | None = None,
    api_key: str | None = None,
) -> Answer:
    """Post pictures and fields as a form.

    Args:
        url: address of the service and route, such as `http://127.0.0.1:5000/api/ocr`.
        pictures: files, each sent as a field `image`.
        fields: the route's options.
        api_key: where the service asks for one.

    Raises:
        OSError: if a picture or the service cannot be reached.
    """
    images = [FileStorage(path.open("rb"), path.name) for path in pictures]
    boundary, body = encode_multipart({**(fields or {}), "image": images})
    for image in images:
        image.close()
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    if api_key is not None:
        headers["X-API-Key"] = api_key
    request = urllib.request.Request(url, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
            return Answer(response.status, json.load(response))
    except urllib.error.HTTPError as refused:
        return Answer(refused.code, json.load(refused))
