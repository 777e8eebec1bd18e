"""Takes what others put into a queue, and answers requests with it, the metrics of its timer and what it is told."""

from componentize_py_types import Ok
from wit_world import exports
from wit_world.imports import metrics, properties, shared_data, timers, wasi_config_store, wasi_keyvalue_store
from wit_world.exports.exchange_log import Exchange
from wit_world.imports.queues import Item, Queue
from wit_world.imports.wasi_http_types import (
    Fields,
    IncomingRequest,
    OutgoingBody,
    OutgoingResponse,
    ResponseOutparam,
)

MILLISECOND = 1_000_000


class Startup(exports.Startup):
    def start(self) -> None:
        queue = wasi_config_store.get("queue")
        assert queue is not None, "no queue is configured"
        Queue.open(queue).subscribe()
        timers.set("python", MILLISECOND, 50 * MILLISECOND)


class TimerHandler(exports.TimerHandler):
    def on_timer(self, name: str) -> None:
        metrics.count(f"ticks_{name}", 1)


class QueueHandler(exports.QueueHandler):
    def on_item(self, queue: str) -> None:
        opened = Queue.open(queue)
        while (item := opened.dequeue()) is not None:
            append("items", item.data().decode())
            Item.acknowledge(item)


class ExchangeLog(exports.ExchangeLog):
    def on_log(self, exchange: Exchange) -> None:
        status = exchange.response.status if exchange.response else None
        append("log", f"{exchange.outcome.name.lower()} {exchange.request.path_with_query} {status}")


def append(key: str, line: str) -> None:
    """Adds a line to what is kept under a key, whoever else does so."""
    bucket = wasi_keyvalue_store.open("")
    while True:
        entry = shared_data.read(bucket, key)
        before = entry.value if entry else b""
        if shared_data.swap(bucket, key, before + line.encode() + b"\n", entry.revision if entry else None):
            return


class IncomingHandler(exports.IncomingHandler):
    def handle(self, request: IncomingRequest, response_out: ResponseOutparam) -> None:
        bucket = wasi_keyvalue_store.open("")
        text = b"".join(bucket.get(key) or b"" for key in ("items", "log"))
        text += f"ticked {str(metrics.counted('ticks_python') > 0).lower()}\n".encode()
        path = properties.get(["request", "path"])
        text += f"text {path.value}\n".encode()

        response = OutgoingResponse(Fields())
        body = response.body()
        ResponseOutparam.set(response_out, Ok(response))
        with body.write() as stream:
            stream.blocking_write_and_flush(text[:4096])
        OutgoingBody.finish(body, None)
