"""Settings of the service, each with its unit and its bounds."""

from dataclasses import dataclass, fields
from pathlib import Path

from crnnkit.errors import ConfigError

HOST, PORT = "127.0.0.1", 5000
"""Where a service listens that is not told."""


@dataclass(frozen=True)
class ServerConfig:
    """How much the service takes on, who may ask it, and what it keeps.

    Raises:
        ConfigError: if a number is below its least value, or the key is no header's value.
    """

    max_upload_mb: int = 20
    """Largest request, MiB, all its pictures together."""
    max_images: int = 64
    """Most pictures in one request."""
    processes: int = 1
    """That read, beside the service's own, and each take some 120 MiB; 1 = none but that."""
    threads: int = 8
    """Requests worked on at once; their lines share batches."""
    queue: int = 32
    """Requests that wait for their turn; one more is answered 503 at once."""
    api_key: str | None = None
    """What `X-API-Key` must say where anything is read or changed; None = nobody is asked."""
    feedback_dir: Path | None = None
    """Folder of the corrections that people make on the page; None = none are kept."""
    feedback_days: int = 0
    """Days after which a correction is deleted; 0 = never."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        least = {"max_upload_mb": 1, "max_images": 1, "processes": 1, "threads": 1}
        least |= {"queue": 0, "feedback_days": 0}
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        faults = [
            f"{name} is {values[name]}; it must be at least {bound}"
            for name, bound in least.items()
            if values[name] < bound
        ]
        key = self.api_key
        if key is not None and not (
            key.isascii() and key.isprintable() and key.strip() == key != ""
        ):
            faults.append("api_key must be of printable ASCII characters, without spaces around it")
        if faults:
            raise ConfigError(f"server: {'; '.join(faults)}.")
