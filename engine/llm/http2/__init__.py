"""HTTP/2 that can be raced on: a transport for httpx2 whose cancelled requests are gone at once.

`transport` is what others use; `connection` has the states and the rules.
"""

from engine.llm.http2.transport import HttpClient, HttpError, HttpSettings, new_client, warm_up

__all__ = ["HttpClient", "HttpError", "HttpSettings", "new_client", "warm_up"]
