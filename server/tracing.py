"""OpenTelemetry spans of model calls, by the gen_ai conventions. Behind an extra: `pip install repartee[otel]`.

Where they go is set as everywhere with OpenTelemetry: OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_SERVICE_NAME and so on. Nothing
of what was said is in a span. This module is imported only where `tracing` is set, and costs nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

from engine.events import CallEnded, CallOutcome, Event


class CallSpans:
    """Subscribes to the engine's events: a span for every call, when it has ended."""

    def __init__(self, processor: SpanProcessor, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._provider = TracerProvider(resource=Resource.create({"service.name": "repartee"}))
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("repartee")
        self._now_ns = now_ns

    def __call__(self, event: Event) -> None:
        if not isinstance(event, CallEnded):
            return
        end_ns = self._now_ns()
        span = self._tracer.start_span(
            f"chat {event.model}",
            kind=SpanKind.CLIENT,
            start_time=end_ns - int(event.latency_ms * 1e6),
            attributes={
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": event.provider,
                "gen_ai.request.model": event.model,
                "gen_ai.usage.input_tokens": event.usage.input_tokens,
                "gen_ai.usage.output_tokens": event.usage.output_tokens,
                "repartee.step": event.step,
                "repartee.outcome": event.outcome.value,
            },
        )
        if event.first_text_ms is not None:
            span.set_attribute("repartee.first_text_ms", event.first_text_ms)
        if event.outcome is CallOutcome.FAILED:
            span.set_attribute("error.type", event.kind)
            span.set_status(Status(StatusCode.ERROR))
        span.end(end_ns)

    def close(self) -> None:
        """Sends what is left."""
        self._provider.shutdown()


def exported() -> CallSpans:
    """Spans that go where the environment says, in batches, by a thread of their own."""
    return CallSpans(BatchSpanProcessor(OTLPSpanExporter()))
