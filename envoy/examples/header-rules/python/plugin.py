"""Sets, appends and removes headers in both directions, and hands bodies and trailers on untouched."""

from typing import Any, Optional

from componentize_py_types import Err, Ok
from wit_world import exports
from wit_world.imports import outgoing_handler
from wit_world.imports.poll import Pollable
from wit_world.imports.streams import StreamError_Closed
from wit_world.imports.types import (
    Fields,
    IncomingBody,
    IncomingRequest,
    IncomingResponse,
    OutgoingBody,
    OutgoingRequest,
    OutgoingResponse,
    ResponseOutparam,
)

EVERYTHING = 2**64 - 1


class IncomingHandler(exports.IncomingHandler):
    def handle(self, request: IncomingRequest, response_out: ResponseOutparam) -> None:
        try:
            response = forward(request)
        except Err as refused:
            ResponseOutparam.set(response_out, refused)
            return
        respond(response, response_out)


def forward(request: IncomingRequest) -> IncomingResponse:
    """Sends the request to its end and returns the response, or raises the host's error."""
    outgoing = OutgoingRequest(rules(request.headers(), "x-secret"))
    outgoing.set_method(request.method())
    outgoing.set_path_with_query(request.path_with_query())
    outgoing.set_scheme(request.scheme())
    outgoing.set_authority(request.authority())
    to = outgoing.body()
    with outgoing_handler.handle(outgoing, None) as future:
        relay(request.consume(), to)
        block(future.subscribe())
        return value(future.get())


def respond(response: IncomingResponse, out: ResponseOutparam) -> None:
    outgoing = OutgoingResponse(rules(response.headers(), "server-secret"))
    outgoing.set_status_code(response.status())
    to = outgoing.body()
    ResponseOutparam.set(out, Ok(outgoing))
    relay(response.consume(), to)


def rules(received: Fields, secret: str) -> Fields:
    """Takes the headers of a message and returns a changed copy."""
    with received:
        headers = received.clone()
    headers.delete(secret)
    headers.set("x-plugin", [b"header-rules"])
    headers.append("x-multi", b"plugin")
    return headers


def relay(source: IncomingBody, to: OutgoingBody) -> None:
    """Moves the body without a byte of it entering this guest, and then the trailers."""
    if not splice(source, to):
        # A body that is dropped instead of finished is one the receiver knows to be cut short.
        source.__exit__(None, None, None)
        to.__exit__(None, None, None)
        return
    with IncomingBody.finish(source) as future:
        ready = future.get()
        while ready is None:
            block(future.subscribe())
            ready = future.get()
    try:
        OutgoingBody.finish(to, value(ready))
    except Err:
        # Either side may have gone: there is nobody left to tell.
        pass


def splice(source: IncomingBody, to: OutgoingBody) -> bool:
    """False if the body broke off."""
    with source.stream() as input, to.write() as output:
        try:
            while True:
                output.blocking_splice(input, EVERYTHING)
        except Err as end:
            return isinstance(end.value, StreamError_Closed)


def block(pollable: Pollable) -> None:
    with pollable:
        pollable.block()


def value(ready: Optional[Any]) -> Any:
    """What a future that is ready holds: the outer result says that this is the first call, the inner one is the host's."""
    assert isinstance(ready, Ok)
    if isinstance(ready.value, Err):
        raise ready.value
    return ready.value.value
