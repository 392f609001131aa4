"""Generic handlers for a service of the contract, made from its descriptor."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass

Context = grpc.aio.ServicerContext[Any, Any]
_KINDS = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


def handlers(service: ServiceDescriptor, servicer: object) -> grpc.GenericRpcHandler:
    """Handlers for all methods of a service.

    grpc's own registration adds a second set, of registered methods, which grpc.aio
    serves more slowly. A method that the servicer does not have answers UNIMPLEMENTED.
    """
    return grpc.method_handlers_generic_handler(
        service.full_name, {method.name: _handler(method, servicer) for method in service.methods}
    )


def _handler(method: MethodDescriptor, servicer: object) -> Any:  # noqa: ANN401
    answer = getattr(servicer, method.name, None) or _unimplemented(method.full_name)
    kind = _KINDS[method.client_streaming, method.server_streaming]
    return kind(
        answer,
        request_deserializer=GetMessageClass(method.input_type).FromString,
        response_serializer=GetMessageClass(method.output_type).SerializeToString,
    )


def _unimplemented(name: str) -> Any:  # noqa: ANN401
    async def answer(request: object, context: Context) -> None:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{name} is not served by this version yet")

    return answer
