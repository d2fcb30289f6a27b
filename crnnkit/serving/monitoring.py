"""What `/metrics` tells Prometheus. Confidences show when pictures drift from those learnt."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

REQUESTS = Counter("crnnkit_requests", "Requests answered", ["route", "status"], registry=REGISTRY)
REQUEST_SECONDS = Histogram(
    "crnnkit_request_seconds",
    "From the request's arrival at a thread to its answer",
    ["route"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    registry=REGISTRY,
)
CONFIDENCE = Histogram(
    "crnnkit_line_confidence",
    "Confidence of every line read, before min_confidence",
    buckets=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99, 1),
    registry=REGISTRY,
)
BATCH_LINES = Histogram(
    "crnnkit_batch_lines",
    "Lines of every batch",
    buckets=(1, 2, 4, 8, 16, 32),
    registry=REGISTRY,
)
SWAPS = Counter(
    "crnnkit_model_swaps", "Models taken up, restored or refused", ["result"], registry=REGISTRY
)
HAS_FAULT = Gauge(
    "crnnkit_model_fault", "1 while the model's file is refused, else 0", registry=REGISTRY
)
