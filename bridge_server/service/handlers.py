"""Types of gRPC handlers: generic for the type checker, plain classes at run time."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]
    Interceptor = grpc.ServerInterceptor[Any, Any]
else:
    Handler = grpc.RpcMethodHandler
    Interceptor = grpc.ServerInterceptor

Continuation = Callable[[grpc.HandlerCallDetails], Handler | None]
