# The service alone: onnxruntime, no torch. The model and the corrections live in volumes.
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY crnnkit ./crnnkit
# Headless OpenCV is the same library without windows; the other one wants X11 at run time.
RUN python3 -m venv /opt/crnnkit \
    && sed -i 's/"opencv-python>=/"opencv-python-headless>=/' pyproject.toml \
    && /opt/crnnkit/bin/pip install --no-cache-dir --no-compile . \
    && /opt/crnnkit/bin/pip uninstall -y pip

FROM python:3.11-slim-bookworm
COPY --from=build /opt/crnnkit /opt/crnnkit
# The folders are the user's, so that new volumes are, too.
RUN useradd --uid 10001 --no-create-home crnnkit \
    && mkdir -p /models /feedback \
    && chown crnnkit /feedback
USER 10001
ENV PATH=/opt/crnnkit/bin:$PATH PYTHONUNBUFFERED=1
VOLUME ["/models", "/feedback"]
EXPOSE 5000
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["python3", "-m", "crnnkit.serving.healthcheck"]
ENTRYPOINT ["crnnkit", "serve", "--host", "0.0.0.0"]
CMD ["--model", "/models/serving.onnx"]
