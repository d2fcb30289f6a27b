"""The container's health check: asks the service, wherever it listens, whether it is ready.

    python3 -m crnnkit.serving.healthcheck

Exit code 0 = ready. The address stands in the command line of process 1, since that may have been
started with another `--port` than the image names.
"""

import argparse
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from crnnkit.errors import ConfigError
from crnnkit.serving.config import HOST, PORT

TIMEOUT_SECONDS = 4
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Where a service is reached from inside that listens on all of its addresses."""


def address_of(command: Sequence[str]) -> str:
    """Where `crnnkit serve`, started with these words, is reached from the same computer.

    Raises:
        ConfigError: if they start something else, or tell the service to take any free port.
    """
    if "serve" not in command:
        raise ConfigError(f"health check: no crnnkit serve, but {' '.join(command)!r}.")
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--host", default=HOST)
    parser.add_argument("--port", type=int, default=PORT)
    options, _ = parser.parse_known_args(command[command.index("serve") + 1 :])
    if options.port == 0:
        raise ConfigError("health check: --port 0 takes any free port. Name one.")
    host = EVERYWHERE.get(options.host, options.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{options.port}"


def main(command_line: Path = Path("/proc/1/cmdline")) -> None:
    """Ask the service whose command line is given; end with exit code 1 if it is not ready."""
    address = address_of(command_line.read_text("utf-8").split("\0"))
    try:
        urllib.request.urlopen(f"{address}/readyz", timeout=TIMEOUT_SECONDS).close()
    except OSError as error:  # no answer, or one of 503
        sys.exit(f"{address}: {error}")


if __name__ == "__main__":
    main()
