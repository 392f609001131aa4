"""Counts what calls to remote models come to: for Prometheus, and for GetProviderStats."""

from __future__ import annotations

import time
from collections import Counter as Count
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from engine.events import BreakerMoved, CallEnded, CallOutcome, Degraded, Event, Hedged
from engine.usage import NO_USAGE, Usage
from server.metrics import BUCKETS_S
from server.windows import Window

_BREAKER_STATES = ("closed", "open", "half_open")


@dataclass(slots=True)
class ModelCounts:
    """Of one model, since this process started; latencies over the sliding window."""

    latency: Window
    calls: int = 0
    outcomes: Count[CallOutcome] = field(default_factory=Count)
    errors: Count[str] = field(default_factory=Count)
    usage: Usage = NO_USAGE


class ProviderCounts:
    """Subscribes to the engine's events; models go by provider and name."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self.models: dict[tuple[str, str], ModelCounts] = {}

    def __call__(self, event: Event) -> None:
        if not isinstance(event, CallEnded):
            return
        key = (event.provider, event.model)
        if key not in self.models:
            self.models[key] = ModelCounts(Window(self._window_s, time.monotonic))
        counts = self.models[key]
        counts.calls += 1
        counts.outcomes[event.outcome] += 1
        counts.usage += event.usage
        if event.outcome is CallOutcome.FAILED:
            counts.errors[event.kind] += 1
        if event.outcome is CallOutcome.WON:
            counts.latency.add(event.latency_ms)


class ModelMetrics:
    """Subscribes to the engine's events; labels are those of the configuration, and so few."""

    def __init__(self, registry: CollectorRegistry) -> None:
        of_model = ["provider", "model"]

        def counter(name: str, text: str, *labels: str) -> Callable[..., Counter]:
            made = Counter(f"repartee_{name}", text, [*of_model, *labels], registry=registry)
            return lru_cache(maxsize=512)(made.labels)

        def histogram(name: str, text: str) -> Callable[..., Histogram]:
            made = Histogram(f"repartee_{name}", text, of_model, buckets=BUCKETS_S, registry=registry)
            return lru_cache(maxsize=512)(made.labels)

        self._calls = counter("model_calls", "Calls to remote models: won, lost (cancelled) or failed.", "outcome")
        self._errors = counter("model_errors", "Calls that failed, by kind.", "kind")
        self._first_text = histogram("model_first_text_seconds", "Until a call's first text.")
        self._duration = histogram("model_call_duration_seconds", "Whole calls that won.")
        self._tokens = counter("model_tokens", "Tokens; cached_input is a part of input.", "direction")
        self._wasted = counter("model_wasted_tokens", "Tokens of answers that were thrown away.")
        self._cost = counter("model_cost_usd", "US dollars by the configured prices, wasted ones included.")
        self._hedges = counter("model_hedges", "Extra calls to a model as another one was slow.")
        self._breaker = lru_cache(maxsize=512)(
            Gauge(
                "repartee_model_breaker_state", "1 for the state that holds.", [*of_model, "state"], registry=registry
            ).labels
        )
        self._degraded = lru_cache(maxsize=64)(
            Counter(
                "repartee_steps_degraded", "Steps that the built-in engine took over.", ["step"], registry=registry
            ).labels
        )
        self._hedges_left = Gauge("repartee_hedge_budget", "Extra calls that hedging may make now.", registry=registry)

    def watch_budget(self, hedges_left: Callable[[], float]) -> None:
        """Shows what hedging may still spend, whenever somebody looks."""
        self._hedges_left.set_function(hedges_left)

    def __call__(self, event: Event) -> None:
        match event:
            case CallEnded():
                self._ended(event)
            case Hedged(provider, model):
                self._hedges(provider, model).inc()
            case BreakerMoved(provider, model, state):
                for one in _BREAKER_STATES:
                    self._breaker(provider, model, one).set(one == state)
            case Degraded(step=step):
                self._degraded(step).inc()

    def _ended(self, event: CallEnded) -> None:
        model, usage = (event.provider, event.model), event.usage
        self._calls(*model, event.outcome.value).inc()
        if event.outcome is CallOutcome.FAILED:
            self._errors(*model, event.kind).inc()
        if event.first_text_ms is not None:
            self._first_text(*model).observe(event.first_text_ms / 1e3)
        if event.outcome is CallOutcome.WON:
            self._duration(*model).observe(event.latency_ms / 1e3)
        self._tokens(*model, "input").inc(usage.input_tokens)
        self._tokens(*model, "cached_input").inc(usage.cached_input_tokens)
        self._tokens(*model, "output").inc(usage.output_tokens)
        self._wasted(*model).inc(usage.wasted_tokens)
        self._cost(*model).inc(usage.cost_usd)
