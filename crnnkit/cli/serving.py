"""The command that serves a model to others."""

from pathlib import Path
from typing import Annotated

import typer

from crnnkit.cli.reading import DEFAULT_MODEL, NumThreads
from crnnkit.serving.config import HOST, PORT


def serve(
    model_path: Annotated[
        Path, typer.Option("--model", "--model-path", help="Model file to serve and to watch.")
    ] = DEFAULT_MODEL,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = HOST,
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)] = PORT,
    processes: Annotated[
        int, typer.Option(help="Processes that read; 0: one for each core, at most 8.", min=0)
    ] = 0,
    threads: Annotated[int, typer.Option(help="Requests worked on at once.", min=1)] = 8,
    queue: Annotated[
        int, typer.Option(help="Requests that wait; one more is answered 503.", min=0)
    ] = 32,
    max_upload_mb: Annotated[int, typer.Option(help="Largest request, MiB.", min=1)] = 20,
    max_images: Annotated[int, typer.Option(help="Most pictures in one request.", min=1)] = 64,
    feedback: Annotated[
        Path | None, typer.Option(help="Folder for corrections made on the page; none: off.")
    ] = None,
    feedback_days: Annotated[
        int, typer.Option(help="Days until a correction is deleted; 0: kept.", min=0)
    ] = 0,
    api_key: Annotated[
        str | None,
        typer.Option(
            envvar="CRNNKIT_API_KEY", help="Key that requests carry in X-API-Key.", show_envvar=True
        ),
    ] = None,
) -> None:
    """Serve the web page and POST /api/ocr; a replaced model file is taken up while it runs."""
    from crnnkit.serving.config import ServerConfig
    from crnnkit.serving.processes import default_processes
    from crnnkit.serving.server import serve as run_server

    config = ServerConfig(
        max_upload_mb=max_upload_mb,
        max_images=max_images,
        processes=processes or default_processes(),
        threads=threads,
        queue=queue,
        api_key=api_key,
        feedback_dir=feedback,
        feedback_days=feedback_days,
    )
    run_server(model_path, host, port, config)


def promote(
    model_path: Annotated[Path, typer.Option(help="Model that is to be served.")],
    test_data: Annotated[Path, typer.Option(help="Index file of frozen test lines.")],
    served: Annotated[Path, typer.Option(help="The file that is served.")] = DEFAULT_MODEL,
    num_threads: NumThreads = 0,
) -> None:
    """Copy a model to where it is served, unless it reads the test lines worse.

    Worse is a CER more than 0.5 points above the served model's, or above it with p < 0.05 in a
    paired test. Fewer than 30 different texts decide nothing, and nothing is copied.
    """
    from crnnkit.dataset.index import read_index
    from crnnkit.evaluation.promotion import promote as promote_model

    finding = promote_model(model_path, served, read_index(test_data), num_threads or None)
    print(f"{served} is {model_path} now: {finding}")
