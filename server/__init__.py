"""Everything that serves: gRPC, metrics, logs, the command line. Decides nothing."""

import os

# Both are read once, when grpc and numpy are imported for the first time.
#
# The EventEngine costs a quarter of grpc.aio's throughput (measured on 1.82.3: 20.5k against 26.1k calls a second).
os.environ.setdefault(
    "GRPC_EXPERIMENTS",
    "-event_engine_listener,-event_engine_for_all_other_endpoints,-event_engine_callback_cq,-event_engine_client",
)
# One process is one core: a second thread for a product of a millisecond waits longer than it helps.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
