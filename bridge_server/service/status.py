"""Errors at the edge: one table from the error tree to gRPC status codes, with ``google.rpc.ErrorInfo``."""

import logging
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import grpc
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from bridge_server import errors
from bridge_server.pipeline.store import is_disk_full
from bridge_server.service.handlers import Continuation, Handler, Interceptor

DOMAIN = "open3dforge"
STATUS_CODES: dict[type[errors.ForgeError], grpc.StatusCode] = {
    errors.ForgeError: grpc.StatusCode.UNKNOWN,
    errors.InputError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.PresetError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.PlanError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.BackendUnavailable: grpc.StatusCode.FAILED_PRECONDITION,
    errors.StageFailed: grpc.StatusCode.INTERNAL,
    errors.WorkerDied: grpc.StatusCode.INTERNAL,
    errors.StoreError: grpc.StatusCode.INTERNAL,
    errors.DiskFull: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.Conflict: grpc.StatusCode.FAILED_PRECONDITION,
    errors.QuotaExceeded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.AccessDenied: grpc.StatusCode.UNAUTHENTICATED,
    errors.ConnectionFailed: grpc.StatusCode.UNAVAILABLE,
}
LONGEST_MESSAGE = 1200
LONGEST_DETAIL = 600
"""Status travels in trailers, which clients limit to 8 KiB; the message stands in them twice."""
_log = logging.getLogger(__name__)


def status_of(error: errors.ForgeError) -> status_pb2.Status:
    """The status that tells a client of ``error``."""
    code = STATUS_CODES[type(error)]
    info = error_details_pb2.ErrorInfo(
        reason=error.reason,
        domain=DOMAIN,
        metadata={"subject": _cut(error.subject, LONGEST_DETAIL), "remedy": _cut(error.remedy, LONGEST_DETAIL)},
    )
    detail = any_pb2.Any()
    detail.Pack(info)
    number = code_pb2.Code.Value(code.name)
    return status_pb2.Status(code=number, message=_cut(error.message, LONGEST_MESSAGE), details=[detail])


def abort(context: grpc.ServicerContext, error: errors.ForgeError) -> NoReturn:
    """End the call with ``error``."""
    context.abort_with_status(rpc_status.to_status(status_of(error)))
    raise AssertionError("abort_with_status always raises")


class ErrorTranslation(Interceptor):
    """Turns what servicers raise into status codes; what nobody foresaw goes to the log with its traceback."""

    def intercept_service(
        self,
        continuation: Continuation,
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Wrap the handler of one call."""
        handler = continuation(handler_call_details)
        if handler is None:
            return None
        kind = {
            (False, False): ("unary_unary", grpc.unary_unary_rpc_method_handler),
            (False, True): ("unary_stream", grpc.unary_stream_rpc_method_handler),
            (True, False): ("stream_unary", grpc.stream_unary_rpc_method_handler),
            (True, True): ("stream_stream", grpc.stream_stream_rpc_method_handler),
        }
        attribute, make = kind[(bool(handler.request_streaming), bool(handler.response_streaming))]
        wrap = _translating_stream if handler.response_streaming else _translating
        return make(wrap(getattr(handler, attribute)), handler.request_deserializer, handler.response_serializer)


def _translating(behaviour: Callable[..., Any]) -> Callable[..., Any]:
    def call(request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return behaviour(request, context)
        except Exception as error:  # noqa: BLE001 - the edge of the server
            _tell(error, context)

    return call


def _translating_stream(behaviour: Callable[..., Any]) -> Callable[..., Any]:
    def call(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        try:
            yield from behaviour(request, context)
        except Exception as error:  # noqa: BLE001 - the edge of the server
            _tell(error, context)

    return call


def _tell(error: Exception, context: grpc.ServicerContext) -> NoReturn:
    if isinstance(error, OSError) and is_disk_full(error):
        error = errors.DiskFull("the server's disk is full.", remedy="Free disk space there.")
    if isinstance(error, errors.ForgeError):
        abort(context, error)
    if not context.is_active() or type(error) is Exception:  # the client went, or the call was aborted already
        raise error
    _log.error("a call failed unexpectedly", exc_info=error)
    remedy = "This is a fault of Open3DForge; the server's log has the details."
    told = errors.StoreError(f"{type(error).__name__}: {error}", remedy=remedy, reason="INTERNAL_ERROR")
    abort(context, told)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 3] + "..."
