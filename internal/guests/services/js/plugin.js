// Takes what others put into a queue, and answers requests with it, the metrics of its timer and what it is told.

import { Fields, OutgoingBody, OutgoingResponse, ResponseOutparam } from "wasi:http/types@0.2.12";
import { open } from "wasi:keyvalue/store@0.2.0-draft";
import { get as configured } from "wasi:config/store@0.2.0-rc.1";
import { counted, count } from "http-proxy:plugin/metrics@0.1.0";
import { get as property } from "http-proxy:plugin/properties@0.1.0";
import { Item, Queue } from "http-proxy:plugin/queues@0.1.0";
import { read, swap } from "http-proxy:plugin/shared-data@0.1.0";
import { set as setTimer } from "http-proxy:plugin/timers@0.1.0";

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const MILLISECOND = 1_000_000n;

export const startup = {
  start() {
    const name = configured("queue");
    if (name === undefined) throw "no queue is configured";
    Queue.open(name).subscribe();
    setTimer("js", MILLISECOND, 50n * MILLISECOND);
  },
};

export const timerHandler = {
  onTimer(name) {
    count(`ticks_${name}`, 1n);
  },
};

export const queueHandler = {
  onItem(name) {
    const queue = Queue.open(name);
    for (let item = queue.dequeue(); item !== undefined; item = queue.dequeue()) {
      append("items", decoder.decode(item.data()));
      Item.acknowledge(item);
    }
  },
};

export const exchangeLog = {
  onLog(exchange) {
    append("log", `${exchange.outcome} ${exchange.request.pathWithQuery} ${exchange.response?.status}`);
  },
};

// Adds a line to what is kept under a key, whoever else does so.
function append(key, line) {
  const bucket = open("");
  for (;;) {
    const entry = read(bucket, key);
    const before = entry === undefined ? "" : decoder.decode(entry.value);
    if (swap(bucket, key, encoder.encode(`${before}${line}\n`), entry?.revision)) return;
  }
}

export const incomingHandler = {
  handle(request, out) {
    const bucket = open("");
    const lines = ["items", "log"].map((key) => decoder.decode(bucket.get(key) ?? new Uint8Array()));
    const path = property(["request", "path"]);
    const text = `${lines.join("")}ticked ${counted("ticks_js") > 0n}\n${path.tag} ${path.val}\n`;

    const response = new OutgoingResponse(new Fields());
    const body = response.body();
    ResponseOutparam.set(out, { tag: "ok", val: response });
    const stream = body.write();
    stream.blockingWriteAndFlush(encoder.encode(text).slice(0, 4096));
    stream[Symbol.dispose]();
    OutgoingBody.finish(body, undefined);
  },
};
