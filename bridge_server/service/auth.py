"""Who calls: bearer tokens, compared in constant time, and the user each belongs to."""

import hashlib
import hmac
from collections.abc import Mapping

import grpc

from bridge_server.errors import AccessDenied
from bridge_server.service.handlers import Continuation, Handler, Interceptor
from bridge_server.service.status import abort

LOCAL_USER = "local"
"""Who calls a server that asks for no token."""
OPEN_METHODS = ("/grpc.health.v1.Health/",)
"""What answers without a token, so that supervisors can ask whether the server is up."""


class Gate:
    """Knows every token by its digest."""

    def __init__(self, users: Mapping[str, str]) -> None:
        self._users = [(hashlib.sha256(token.encode()).digest(), user) for token, user in users.items()]

    def user_of(self, metadata: Mapping[str, str]) -> str:
        """The user whose token the metadata of a call holds. Raises ``AccessDenied``.

        Every known token is compared, each in constant time, so that the time taken tells nothing.
        """
        if not self._users:
            return LOCAL_USER
        header = metadata.get("authorization", "")
        kind, _, token = header.partition(" ")
        digest = hashlib.sha256(token.strip().encode("utf-8", "replace")).digest()
        found = ""
        for known, user in self._users:
            if hmac.compare_digest(known, digest):
                found = user
        if not found or kind.lower() != "bearer":
            raise AccessDenied(
                "the token is wrong." if header else "this server asks for a token, and none was sent.",
                subject="authorization",
                remedy="Set OPEN3DFORGE_TOKEN, or enter the token in the client's settings.",
            )
        return found

    def user_calling(self, context: grpc.ServicerContext) -> str:
        """The user of a call that the interceptor let in."""
        return self.user_of(_texts(context.invocation_metadata()))


class Authentication(Interceptor):
    """Lets in only calls with a known token."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def intercept_service(
        self,
        continuation: Continuation,
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Answer the call with a refusal where its token is not known."""
        if handler_call_details.method.startswith(OPEN_METHODS):
            return continuation(handler_call_details)
        try:
            self._gate.user_of(_texts(handler_call_details.invocation_metadata))
        except AccessDenied as error:
            return _refusing(continuation(handler_call_details), error)
        return continuation(handler_call_details)


def _texts(metadata: object) -> dict[str, str]:
    pairs = metadata if isinstance(metadata, list | tuple) else ()
    return {key: value for key, value in pairs if isinstance(value, str)}


def _refusing(handler: Handler | None, error: AccessDenied) -> Handler:
    def refuse(_: object, context: grpc.ServicerContext) -> object:
        abort(context, error)

    if handler is not None and handler.request_streaming:
        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(refuse)
        return grpc.stream_unary_rpc_method_handler(refuse)
    if handler is not None and handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler(refuse)
    return grpc.unary_unary_rpc_method_handler(refuse)
