"""OperationsService: what the service has been doing, for clients that have a channel open anyway."""

from __future__ import annotations

from typing import Any

import grpc
from repartee.v1 import operations_pb2 as pb

from server.convert import duration, timestamp
from server.metrics import Latencies
from server.stats import ReconcileCounts
from server.windows import Window

Context = grpc.aio.ServicerContext[Any, Any]


class OperationsService:
    """See operations.proto. What needs caches and remote providers comes with them."""

    def __init__(self, replica: str, latencies: Latencies, reconciled: ReconcileCounts) -> None:
        self._replica = replica
        self._latencies = latencies
        self._reconciled = reconciled

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

    def _window(self) -> pb.StatsWindow:
        return pb.StatsWindow(replica=self._replica, since=timestamp(self._reconciled.since))


def _quantiles(window: Window) -> pb.LatencyQuantiles:
    count, (p50, p95, p99) = window.quantiles()
    return pb.LatencyQuantiles(count=count, p50=duration(p50), p95=duration(p95), p99=duration(p99))
