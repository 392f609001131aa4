"""The engine's events and the server's calls as Prometheus metrics. The registry is passed in.

Every label takes its values from a set that is fixed in the code or by the pack, so the
number of series is bounded. Children are looked up once: `labels()` on every call costs
more than counting does.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from engine.events import (
    CutShort,
    Event,
    FigureWithheld,
    FirstText,
    Reconciled,
    StageEnded,
    TurnBegan,
    TurnEnded,
)
from engine.stages import Stage
from server.windows import QUANTILES, Window

BUCKETS_S = (
    0.0005, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3,
    0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0,
)  # fmt: skip


class Latencies(Collector):
    """Sliding-window quantiles of turns, of first texts and of stages: for Prometheus and the stats RPC."""

    def __init__(self, window_s: float) -> None:
        self.turn = Window(window_s, time.monotonic)
        self.first_text = Window(window_s, time.monotonic)
        self.stages = {stage: Window(window_s, time.monotonic) for stage in Stage}

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(
            "repartee_latency_quantile_seconds",
            "Latency quantiles over a sliding window; `of` is turn, first_text, or a stage.",
            labels=["of", "quantile"],
        )
        windows = {"turn": self.turn, "first_text": self.first_text, **{str(s): w for s, w in self.stages.items()}}
        for name, window in windows.items():
            count, values = window.quantiles()
            for quantile, value in zip(QUANTILES, values, strict=True) if count else ():
                family.add_metric([name, str(quantile)], value / 1e3)
        yield family


class TurnMetrics:
    """Subscribes to the engine's events."""

    def __init__(self, registry: CollectorRegistry, latencies: Latencies) -> None:
        self._latencies = latencies
        registry.register(latencies)
        self._turn = Histogram(
            "repartee_turn_duration_seconds", "Whole turns that were committed.", buckets=BUCKETS_S, registry=registry
        )
        self._first_text = Histogram(
            "repartee_first_text_seconds", "Until a stream's first text.", buckets=BUCKETS_S, registry=registry
        )
        stage = Histogram(
            "repartee_stage_duration_seconds",
            "Stages of turns; provider is empty where none was asked.",
            ["stage", "provider"],
            buckets=BUCKETS_S,
            registry=registry,
        )
        self._stage = lru_cache(maxsize=256)(stage.labels)
        self._in_flight = Gauge("repartee_turns_in_flight", "Turns being answered.", registry=registry)
        self._turns = Counter("repartee_turns", "Turns by how they ended.", ["outcome"], registry=registry)
        self._triggers = Counter(
            "repartee_reconcile_triggers",
            "Triggers of the second detection: fired, reran, changed the play.",
            ["trigger", "event"],
            registry=registry,
        )
        self._cut_short = Counter(
            "repartee_replies_cut_short", "Replies cut short after their first text; that is kept.", registry=registry
        )
        self._withheld = Counter(
            "repartee_figures_withheld", "Figures that the price guard held back.", ["kind"], registry=registry
        )

    def __call__(self, event: Event) -> None:
        match event:
            case TurnBegan():
                self._in_flight.inc()
            case StageEnded(trace):
                self._stage(trace.stage.value, trace.provider).observe(trace.duration_ms / 1e3)
                self._latencies.stages[trace.stage].add(trace.duration_ms)
            case FirstText(after_ms):
                self._first_text.observe(after_ms / 1e3)
                self._latencies.first_text.add(after_ms)
            case Reconciled(fired, reran, changed):
                for trigger in fired:
                    for name, held in (("fired", True), ("reran", reran), ("changed", changed)):
                        if held:
                            self._triggers.labels(trigger.value, name).inc()
            case FigureWithheld(kind):
                self._withheld.labels(kind).inc()
            case CutShort():
                self._cut_short.inc()
            case TurnEnded(total_ms, outcome):
                self._in_flight.dec()
                self._turns.labels(outcome).inc()
                if outcome == "committed":
                    self._turn.observe(total_ms / 1e3)
                    self._latencies.turn.add(total_ms)


class CallMetrics:
    """Calls by method and code, of all services."""

    def __init__(self, registry: CollectorRegistry) -> None:
        handled = Counter(
            "grpc_server_handled", "Calls that ended.", ["grpc_service", "grpc_method", "grpc_code"], registry=registry
        )
        seconds = Histogram(
            "grpc_server_handling_seconds",
            "How long calls took.",
            ["grpc_service", "grpc_method"],
            buckets=BUCKETS_S,
            registry=registry,
        )
        self._handled = lru_cache(maxsize=2048)(lambda method, code: handled.labels(*_parts(method), code))
        self._seconds = lru_cache(maxsize=128)(lambda method: seconds.labels(*_parts(method)))

    def ended(self, method: str, code: str, elapsed_s: float) -> None:
        self._handled(method, code).inc()
        self._seconds(method).observe(elapsed_s)


def _parts(method: str) -> tuple[str, str]:
    service, _, name = method.lstrip("/").partition("/")
    return service, name


def new_registry() -> CollectorRegistry:
    """A registry with the process's own metrics in it."""
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry
