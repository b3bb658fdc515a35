"""What is counted, in Prometheus's text form. Labels have few values, none of them from a request."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
METHODS = ("GET", "POST", "HEAD")
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The figures of one server."""

    def __init__(self) -> None:
        own = self.registry = CollectorRegistry(auto_describe=True)
        self._by_request: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self.requests = Counter(
            "deepen_requests", "Requests by route, method and status.", ("route", "method", "status"), registry=own
        )
        self.seconds = Histogram(
            "deepen_request_seconds",
            "From the head of a request to its answer.",
            ("route",),
            buckets=SECONDS,
            registry=own,
        )
        self.rows = Counter("deepen_rows", "Rows by run and outcome.", ("run", "outcome"), registry=own)
        self.batches = Histogram("deepen_batch_rows", "Rows computed together.", ("run",), buckets=ROWS, registry=own)
        self.computing = Counter("deepen_compute_seconds", "Computing, preparing not counted.", ("run",), registry=own)
        self.waiting = Gauge("deepen_waiting_rows", "Rows that wait to be computed.", ("run",), registry=own)
        self.ready = Gauge("deepen_ready", "1 if the run can answer.", ("run",), registry=own)
        self.reloads = Counter("deepen_reloads", "Replaced runs by result.", ("run", "result"), registry=own)
        self.crashes = Counter("deepen_worker_ends", "Workers that ended by themselves.", ("run",), registry=own)
        self.held = Gauge("deepen_held_refusals", "Refusals that are held back.", registry=own)

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Counts one."""
        kind = route, method if method in METHODS else "other", status
        if kind not in self._by_request:
            self._by_request[kind] = self.requests.labels(*kind), self.seconds.labels(route)
        count, duration = self._by_request[kind]
        count.inc()
        duration.observe(seconds)

    def text(self) -> bytes:
        """All of them."""
        return generate_latest(self.registry)
