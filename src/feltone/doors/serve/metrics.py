"""What the service counts about itself, for Prometheus; a registry of its own per service."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
IMAGES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Counters named as they are published, less the prefix `feltone_`."""

    def __init__(self) -> None:
        self.registry = of = CollectorRegistry()
        self.requests = Counter(
            "feltone_requests", "Requests answered, streams included", ("route", "status"), registry=of
        )
        self.latency = Histogram(
            "feltone_request_seconds", "Request to answer", ("route",), registry=of, buckets=SECONDS
        )
        self.queue = Gauge("feltone_queue_length", "Requests being answered", registry=of)
        self.waiting = Gauge("feltone_images_waiting", "Images that wait for a run of the graph", registry=of)
        self.batches = Histogram("feltone_batch_images", "Images per run of the graph", registry=of, buckets=IMAGES)
        self.streams = Gauge("feltone_open_streams", "Live streams", registry=of)
        self.updates = Counter("feltone_stream_updates", "Answers to live streams", ("speech",), registry=of)

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self.registry)
