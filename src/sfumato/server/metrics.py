"""What is counted, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

SECONDS = (0.005, 0.02, 0.1, 0.5, 2, 10, 60, 600)


class Metrics:
    """Counts of requests, and how busy the engine is.

    Args:
        busy: tells how busy the engine is, as a dataclass of numbers, or of tables from a name to a number.
    """

    def __init__(self, busy: Callable[[], Any]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Busy(busy))
        self._requests = Counter(
            "sfumato_requests", "Requests answered.", ("method", "route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "sfumato_request_seconds", "How long they took.", ("route",), registry=self._registry, buckets=SECONDS
        )

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request; status 0 is one that was cut off before its answer began."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def page(self) -> bytes:
        """All counts in Prometheus' text format."""
        return generate_latest(self._registry)


class _Busy(Collector):
    """The engine's numbers, as they are when asked for."""

    def __init__(self, busy: Callable[[], Any]) -> None:
        self._busy = busy

    def describe(self) -> Iterator[Metric]:
        return iter(())  # nothing is asked of the engine before it runs

    def collect(self) -> Iterator[Metric]:
        now = self._busy()
        if not is_dataclass(now):
            return
        for entry in fields(now):
            value = getattr(now, entry.name)
            if isinstance(value, Mapping):
                family = GaugeMetricFamily(f"sfumato_{entry.name}", entry.name.replace("_", " "), labels=["name"])
                for name, number in value.items():
                    family.add_metric([str(name)], float(number))
                yield family
            elif isinstance(value, int | float):
                yield GaugeMetricFamily(f"sfumato_{entry.name}", entry.name.replace("_", " "), value=float(value))
