"""What every call passes through: who asks, how much they may, how long it takes, what is told of it."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import grpc

from nas.errors import DeadlineExceeded, Forbidden, LimitExceeded, NasError, ServiceFault, ServiceUnavailable
from nas.service.identity import ANYONE, Identity, Role
from nas.service.server.metrics import Metrics
from nas.service.server.tokens import Tokens
from nas.service.wire.faults import DETAIL_KEY, detail_of, status_of
from nas.service.wire.version import FORM, FORM_KEY, SERVING, check_answer, check_form

__all__ = ["CALLER", "Guard"]

CALLER: ContextVar[Identity] = ContextVar("CALLER")
"""Who made the call that is being answered."""

GUARDED = "/nas.rpc.v1."
"""Health must answer probes that have no token, and reflection tells what is public anyway."""

ANSWERED = ("grpc-retry-pushback-ms", "-1")
"""Tells a client's gRPC that this is the answer: to ask again at once would only wait once more for the same
worker or the same store. What was not heard, or a service that is not ready, is asked again."""

LONGEST_SECONDS = 900.0
"""A call that sets no deadline gets this one."""

_LOG = logging.getLogger("nas.service")


class Guard(grpc.aio.ServerInterceptor):
    """Admits calls, and turns what they raise into a status.

    Args:
        tokens: who may call; anyone where None.
    """

    def __init__(self, tokens: Tokens | None, metrics: Metrics) -> None:
        self._tokens = tokens
        self._metrics = metrics
        self._buckets: dict[str, _Bucket] = {}
        self._streams: Counter[str] = Counter()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler | None:
        """Wrap the handler of a guarded method."""
        handler = await continuation(handler_call_details)
        if handler is None or not handler_call_details.method.startswith(GUARDED):
            return handler
        method = handler_call_details.method.rpartition("/")[2]
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                self._guard_stream(handler.unary_stream, method),
                handler.request_deserializer,
                handler.response_serializer,
            )
        return grpc.unary_unary_rpc_method_handler(
            self._guard_unary(handler.unary_unary, method),
            handler.request_deserializer,
            handler.response_serializer,
        )

    def _guard_unary(self, answer: Callable[..., Awaitable[Any]], method: str) -> Callable[..., Any]:
        async def guarded(request: Any, context: grpc.aio.ServicerContext) -> Any:
            async with self._call(method, request, context) as form:
                message = await answer(request, context)
                check_answer(message, form)
                return message

        return guarded

    def _guard_stream(self, answer: Callable[..., AsyncIterator[Any]], method: str) -> Callable[..., Any]:
        async def guarded(request: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
            async with self._call(method, request, context) as form, self._stream(method):
                async for message in answer(request, context):
                    check_answer(message, form)
                    yield message

        return guarded

    @asynccontextmanager
    async def _call(self, method: str, request: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[int]:
        """Around one call; gives the form that its caller reads."""
        began = time.perf_counter()
        status, caller = grpc.StatusCode.OK, "?"
        try:
            metadata = dict(context.invocation_metadata() or ())
            identity = self._admit(metadata)
            caller = identity.name
            CALLER.set(identity)
            SERVING.set(True)
            form = check_form(method, metadata)
            remaining = context.time_remaining()
            seconds = LONGEST_SECONDS if remaining is None else min(remaining, LONGEST_SECONDS)
            async with asyncio.timeout(seconds):
                yield form
        except (asyncio.CancelledError, GeneratorExit):
            status = grpc.StatusCode.CANCELLED
            raise
        except Exception as raised:  # noqa: BLE001 -- a defect ends its own call, not the service
            error = _for_the_caller(raised, method)
            status, details = status_of(error)
            answered = () if isinstance(error, ServiceUnavailable) else (ANSWERED,)
            told = (DETAIL_KEY, detail_of(error)), (FORM_KEY, str(FORM))
            await context.abort(status, details, (*told, *answered))
        finally:
            seconds = time.perf_counter() - began
            self._metrics.requests.labels(method, status.name).inc()
            self._metrics.seconds.labels(method).observe(seconds)
            _LOG.log(
                logging.DEBUG if status is grpc.StatusCode.OK else logging.INFO,
                "%s %s",
                method,
                status.name,
                extra={
                    "method": method,
                    "status": status.name,
                    "seconds": round(seconds, 6),
                    "caller": caller,
                    "job": getattr(request, "job_id", None),
                },
            )

    def _admit(self, metadata: Mapping[str, Any]) -> Identity:
        identity = ANYONE
        if self._tokens is not None:
            identity = self._tokens.identify(metadata.get("authorization"))
            if identity.role not in (Role.USER, Role.ADMIN):
                raise Forbidden(
                    f"the token of {identity.name} is for a {identity.role}; accepted: user, admin"
                )
        rate = identity.limits.requests_per_second
        bucket = self._buckets.get(identity.name)
        if bucket is None or bucket.rate != rate:
            bucket = self._buckets[identity.name] = _Bucket(rate)
        if not bucket.take():
            raise LimitExceeded(f"{identity.name} asks more than {rate:g} times a second; accepted: fewer")
        return identity

    @asynccontextmanager
    async def _stream(self, method: str) -> AsyncIterator[None]:
        identity = CALLER.get()
        if self._streams[identity.name] >= identity.limits.streams:
            most = identity.limits.streams
            raise LimitExceeded(f"{identity.name} has {most} streams open already; accepted: no more")
        self._streams[identity.name] += 1
        try:
            with self._metrics.streams.labels(method).track_inprogress():
                yield
        finally:
            self._streams[identity.name] -= 1


class _Bucket:
    """A token bucket: `rate` a second on average, twice as many at once."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._level = 2 * rate
        self._at = time.monotonic()

    def take(self) -> bool:
        """Whether one more is allowed now."""
        now = time.monotonic()
        self._level = min(2 * self.rate, self._level + (now - self._at) * self.rate)
        self._at = now
        if self._level < 1:
            return False
        self._level -= 1
        return True


def _for_the_caller(raised: Exception, method: str) -> NasError:
    if isinstance(raised, NasError):
        return raised
    if isinstance(raised, TimeoutError):
        return DeadlineExceeded(f"{method} took longer than its deadline")
    reference = uuid.uuid4().hex[:12]
    _LOG.error("defect %s in %s", reference, method, exc_info=raised)
    return ServiceFault(f"a defect in the service; its log says more: {reference}")
