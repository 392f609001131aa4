"""OperationsService: what the service has been doing, for clients that have a channel open anyway."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import grpc
from repartee.v1 import operations_pb2 as pb

from engine.events import CallOutcome
from server.convert import duration, timestamp
from server.model_stats import ModelCounts
from server.observers import Observers
from server.windows import Window

Context = grpc.aio.ServicerContext[Any, Any]


class OperationsService:
    """See operations.proto. What needs caches comes with them."""

    def __init__(
        self, replica: str, observers: Observers, breakers: Callable[[], Mapping[tuple[str, str], str]]
    ) -> None:
        """`breakers` gives the state of every configured model's breaker, by provider and model."""
        self._replica = replica
        self._latencies = observers.latencies
        self._reconciled = observers.reconciled
        self._providers = observers.providers
        self._breakers = breakers

    async def GetReconcileStats(
        self, request: pb.GetReconcileStatsRequest, context: Context
    ) -> pb.GetReconcileStatsResponse:
        counts = self._reconciled
        return pb.GetReconcileStatsResponse(
            turns=counts.turns,
            reconciled=counts.reran,
            reconcile_rate=counts.reran / counts.turns if counts.turns else 0.0,
            triggers={
                trigger.value: pb.TriggerStats(fired=of.fired, reran=of.reran, changed=of.changed)
                for trigger, of in counts.triggers.items()
            },
            window=self._window(),
        )

    async def GetLatencyStats(self, request: pb.GetLatencyStatsRequest, context: Context) -> pb.GetLatencyStatsResponse:
        return pb.GetLatencyStatsResponse(
            turn=_quantiles(self._latencies.turn),
            first_text=_quantiles(self._latencies.first_text),
            stages={stage.value: _quantiles(window) for stage, window in self._latencies.stages.items()},
            window=self._window(),
        )

    async def GetProviderStats(
        self, request: pb.GetProviderStatsRequest, context: Context
    ) -> pb.GetProviderStatsResponse:
        none = ModelCounts(Window(1.0, time.monotonic))
        return pb.GetProviderStatsResponse(
            providers=[
                _provider(*key, self._providers.models.get(key, none), breaker)
                for key, breaker in self._breakers().items()
            ],
            window=self._window(),
        )

    def _window(self) -> pb.StatsWindow:
        return pb.StatsWindow(replica=self._replica, since=timestamp(self._reconciled.since))


def _provider(provider: str, model: str, counts: ModelCounts, breaker: str) -> pb.ProviderStats:
    wins, failed = counts.outcomes[CallOutcome.WON], counts.outcomes[CallOutcome.FAILED]
    return pb.ProviderStats(
        provider=provider,
        model=model,
        calls=counts.calls,
        wins=wins,
        cancelled=counts.outcomes[CallOutcome.LOST],
        errors=failed,
        errors_by_kind=counts.errors,
        win_rate=wins / counts.calls if counts.calls else 0.0,
        error_rate=failed / counts.calls if counts.calls else 0.0,
        latency=_quantiles(counts.latency),
        breaker=breaker,
        input_tokens=counts.usage.input_tokens,
        output_tokens=counts.usage.output_tokens,
        cost_usd=counts.usage.cost_usd,
    )


def _quantiles(window: Window) -> pb.LatencyQuantiles:
    count, (p50, p95, p99) = window.quantiles()
    return pb.LatencyQuantiles(count=count, p50=duration(p50), p95=duration(p95), p99=duration(p99))
