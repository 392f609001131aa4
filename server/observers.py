"""Everything that hears the engine's events: metrics, statistics, and spans where they are wanted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from engine.errors import Unavailable
from engine.events import Degraded, Event
from engine.settings import Settings
from server.metrics import Latencies, TurnMetrics, new_registry
from server.model_stats import ModelMetrics, ProviderCounts
from server.stats import ReconcileCounts

log = structlog.get_logger()


class Observers:
    """Of one server; a registry of its own, so that two servers can live in one process."""

    def __init__(self, settings: Settings) -> None:
        """Raises Unavailable where tracing is wanted, and its extra is not installed."""
        self.registry = new_registry()
        self.latencies = Latencies(settings.stats_window_s)
        self.reconciled = ReconcileCounts(datetime.now(UTC))
        self.providers = ProviderCounts(settings.stats_window_s)
        self.models = ModelMetrics(self.registry)
        turns = TurnMetrics(self.registry, self.latencies)
        self._hearing: list[Callable[[Event], None]] = [turns, self.reconciled, self.providers, self.models]
        # What is to be called at the very end.
        self.closing: list[Callable[[], None]] = []
        if settings.tracing:
            self._trace()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Degraded):
            log.warning("step degraded", step=event.step, failures=event.kinds or ("none could be asked in time",))
        for hears in self._hearing:
            hears(event)

    def close(self) -> None:
        for close in self.closing:
            close()

    def _trace(self) -> None:
        try:
            from server.tracing import exported  # noqa: PLC0415  (an extra)
        except ImportError:
            raise Unavailable("tracing = True: needs the extra: pip install 'repartee[otel]'") from None
        spans = exported()
        self._hearing.append(spans)
        self.closing.append(spans.close)
