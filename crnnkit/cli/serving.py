"""The commands that hand a model to others: as a file, as a service."""

from pathlib import Path
from typing import Annotated

import typer

from crnnkit.cli.reading import DEFAULT_MODEL, NumThreads


def export(
    model_path: Annotated[Path, typer.Option(help="Checkpoint, .safetensors.")],
    output: Annotated[Path, typer.Option(help="The .onnx file to write.")],
    parity_data: Annotated[
        Path | None, typer.Option(help="Index file whose lines both must read alike.")
    ] = None,
    num_threads: NumThreads = 0,
) -> None:
    """Export a checkpoint to ONNX; nothing is written unless both read the same."""
    from crnnkit.dataset.index import read_index
    from crnnkit.serving.export import export_onnx

    images = [line.image for line in read_index(parity_data)] if parity_data else []
    report = export_onnx(model_path, output, images, num_threads or None)
    print(
        f"Wrote {report.onnx_path}: logits differ by at most {report.max_logit_difference:.1g}, "
        f"{report.num_lines} lines read alike"
    )
    if report.num_lines:
        print(f"One line takes {report.torch_ms:.1f} ms in torch, {report.onnx_ms:.1f} ms in ONNX")


def serve(
    model_path: Annotated[
        Path, typer.Option("--model", "--model-path", help="Model file to serve and to watch.")
    ] = DEFAULT_MODEL,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)] = 5000,
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
    from crnnkit.serving.server import serve as run_server

    config = ServerConfig(
        max_upload_mb=max_upload_mb,
        max_images=max_images,
        threads=threads,
        queue=queue,
        api_key=api_key,
        feedback_dir=feedback,
        feedback_days=feedback_days,
    )
    run_server(model_path, host, port, config)
