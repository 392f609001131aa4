"""Everything that thinks: the turn, its stages, and what they run on.

Knows no gRPC, no protobuf and no Prometheus. Imports point one way, from the upper
floors to the lower ones; `[tool.importlinter]` in pyproject.toml says which is which.
"""
