"""Errors that came over the wire, as the errors of ``bridge_server.errors``."""

from typing import cast

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from bridge_server import errors
from bridge_server.errors import ConnectionFailed, ForgeError

DOMAIN = "open3dforge"
_BROKEN_CODES = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)
_BROKEN_WORDS = ("RST_STREAM", "Stream removed", "Socket closed", "GOAWAY")
_BY_CODE: dict[grpc.StatusCode, type[ForgeError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: errors.InputError,
    grpc.StatusCode.OUT_OF_RANGE: errors.InputError,
    grpc.StatusCode.NOT_FOUND: errors.NotFound,
    grpc.StatusCode.ALREADY_EXISTS: errors.Conflict,
    grpc.StatusCode.ABORTED: errors.Conflict,
    grpc.StatusCode.FAILED_PRECONDITION: errors.Conflict,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.QuotaExceeded,
    grpc.StatusCode.UNAUTHENTICATED: errors.AccessDenied,
    grpc.StatusCode.PERMISSION_DENIED: errors.AccessDenied,
}


class Disconnected(ConnectionFailed):
    """The connection broke in a way that trying again may mend."""


def translate(error: grpc.RpcError, address: str) -> ForgeError:
    """The error that the server meant; a broken connection is ``Disconnected``."""
    call = cast(grpc.Call, error)  # every error that a call raises is the call itself
    code, message = call.code(), call.details() or ""
    info = _error_info(call)
    if info is None:
        return _without_details(code, message, address)
    kind = _kinds().get(info.reason) or _BY_CODE.get(code, ForgeError)
    subject, remedy = info.metadata.get("subject", ""), info.metadata.get("remedy", "")
    return kind(message, subject=subject, remedy=remedy, reason=info.reason)


def _without_details(code: grpc.StatusCode, message: str, address: str) -> ForgeError:
    """An error that gRPC itself raised."""
    if code in _BROKEN_CODES or any(word in message for word in _BROKEN_WORDS):
        remedy = "Is it still running? Its jobs are kept; start it again with ./forge serve."
        return Disconnected(f"the connection to the server broke ({message}).", subject=address, remedy=remedy)
    if code is grpc.StatusCode.UNIMPLEMENTED:
        remedy = "Check the address, and that both sides have the same version."
        return ConnectionFailed(
            "answers, but is no Open3DForge server of this version.", subject=address, remedy=remedy
        )
    kind = _BY_CODE.get(code, ForgeError)
    return kind(f"{message} ({code.name})", subject=address)


def _error_info(error: grpc.Call) -> error_details_pb2.ErrorInfo | None:
    try:
        status = rpc_status.from_call(error)
    except ValueError:
        return None
    info = error_details_pb2.ErrorInfo()
    for detail in status.details if status is not None else ():
        if detail.Unpack(info) and info.domain == DOMAIN:
            return info
    return None


def _kinds() -> dict[str, type[ForgeError]]:
    """Error classes by the reason they carry unless told otherwise."""
    found: dict[str, type[ForgeError]] = {}
    waiting: list[type[ForgeError]] = [ForgeError]
    while waiting:
        kind = waiting.pop()
        waiting.extend(kind.__subclasses__())
        if kind.__module__ == errors.__name__:
            found[kind.default_reason] = kind
    return found
