"""Spans of model calls: by the conventions, with nothing of what was said."""

from __future__ import annotations

from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from engine.events import CallEnded, CallOutcome, TurnBegan
from engine.usage import Usage
from server.tracing import CallSpans

NOW_NS = 1_800_000_000_000_000_000


def test_every_call_is_a_span_by_the_gen_ai_conventions() -> None:
    exporter = InMemorySpanExporter()
    spans = CallSpans(SimpleSpanProcessor(exporter), lambda: NOW_NS)
    usage = Usage(input_tokens=900, output_tokens=40)
    spans(TurnBegan())
    spans(CallEnded("anthropic", "haiku", "generate", CallOutcome.WON, "", 250.0, 90.0, usage))
    spans(CallEnded("openai", "luna", "generate", CallOutcome.FAILED, "overloaded", 30.0, None, usage))
    spans.close()
    won, failed = exporter.get_finished_spans()
    assert (won.name, won.kind) == ("chat haiku", SpanKind.CLIENT)
    assert won.end_time == NOW_NS
    assert won.start_time == NOW_NS - 250_000_000
    attributes = dict(won.attributes or {})
    assert attributes["gen_ai.provider.name"] == "anthropic"
    assert attributes["gen_ai.usage.input_tokens"] == 900
    assert attributes["repartee.first_text_ms"] == 90.0
    assert won.status.status_code is StatusCode.UNSET
    assert failed.status.status_code is StatusCode.ERROR
    assert dict(failed.attributes or {})["error.type"] == "overloaded"
