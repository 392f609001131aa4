"""The doctor says what is wrong, where, and what to do; and never shows a key."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from benchmarks.simulator import Fault, Rule, Simulator, SimulatorSettings
from benchmarks.simulator.server import CA_FILE
from engine.settings import Settings
from server.doctor import Finding, examine

KEY = "sk-secret-1234"


def examined(
    tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch, *rules: Rule, **changed: object
) -> dict[str, Finding]:
    """All findings by name, with one provider that is the simulator."""

    async def whole() -> dict[str, Finding]:
        async with Simulator(SimulatorSettings(ca_dir=tmp_path / "ca", keys=frozenset({KEY}))) as simulator:
            monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca" / CA_FILE))
            simulator.misbehave(*rules)
            provider = {
                "kind": "openai",
                "api_keys": [KEY],
                "base_url": f"{simulator.url}/v1",
                "fast": "f",
                "powerful": "p",
            }
            values = {
                "cache_dir": cache_dir,
                "data_dir": tmp_path / "data",
                "providers": {"openai": provider},
                **changed,
            }
            settings = Settings.model_validate(values)
            return {finding.name: finding async for finding in examine(settings)}

    return asyncio.run(whole())


def test_all_is_well(tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = examined(tmp_path, cache_dir, monkeypatch)
    assert set(found) == {"domain packs", "embedder", "store", "openai f", "openai p"}
    assert all(finding.is_well for finding in found.values())
    assert found["openai f"].said.startswith("first text after")


@pytest.mark.parametrize(
    ("fault", "kind", "advice"),
    [
        (Fault.UNAUTHORIZED, "auth", "OPENAI_API_KEY"),
        (Fault.RATE_LIMITED, "rate_limited", "over its limit"),
        (Fault.OVERLOADED, "overloaded", "status page"),
        (Fault.KILL, "connection", "SSL_CERT_FILE"),
        (Fault.TRUNCATE_CLEAN, "invalid_output", "base_url"),
    ],
)
def test_what_is_wrong_with_a_model_comes_with_what_to_do(
    tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch, fault: Fault, kind: str, advice: str
) -> None:
    finding = examined(tmp_path, cache_dir, monkeypatch, Rule(fault=fault, model="f"))["openai f"]
    assert not finding.is_well
    assert finding.said.startswith(kind)
    assert advice in finding.advice
    assert KEY not in str(finding)


def test_a_server_that_is_not_there_is_named(tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = {"kind": "anthropic", "api_keys": [KEY], "base_url": "https://localhost:9", "fast": "f", "powerful": "f"}
    found = examined(tmp_path, cache_dir, monkeypatch, providers={"anthropic": nowhere})
    assert "localhost:9" in found["anthropic f"].said


def test_a_store_that_cannot_be_opened_is_told(
    tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "a file"
    blocked.write_text("")
    found = examined(tmp_path, cache_dir, monkeypatch, data_dir=blocked)
    assert not found["store"].is_well
    assert str(blocked) in found["store"].advice


def test_without_providers_nobody_is_called(tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = examined(tmp_path, cache_dir, monkeypatch, providers={})
    assert found["models"].is_well
    assert "built-in" in found["models"].said
