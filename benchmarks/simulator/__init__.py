"""A simulator of the Anthropic and OpenAI APIs, over TLS and HTTP/2, that can misbehave at will. See README.md."""

from benchmarks.simulator.faults import Fault, Rule
from benchmarks.simulator.server import Simulator, SimulatorSettings

__all__ = ["Fault", "Rule", "Simulator", "SimulatorSettings"]
