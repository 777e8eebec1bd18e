// Sets, appends and removes headers in both directions, and hands bodies and trailers on untouched.

import {
  IncomingBody,
  OutgoingBody,
  OutgoingRequest,
  OutgoingResponse,
  ResponseOutparam,
} from "wasi:http/types@0.2.12";
import { handle as sendOn } from "wasi:http/outgoing-handler@0.2.12";

const EVERYTHING = 0xffff_ffff_ffff_ffffn;
const encoder = new TextEncoder();
const VALUE_PLUGIN = encoder.encode("header-rules");
const VALUE_MULTI = encoder.encode("plugin");

export const incomingHandler = {
  handle(request, out) {
    try {
      respond(forward(request), out);
    } catch (failure) {
      // Only what the host refused has a payload: anything else is a fault of this plugin.
      if (failure?.payload === undefined) throw failure;
      ResponseOutparam.set(out, { tag: "err", val: failure.payload });
    }
  },
};

// Sends the request to its end and returns the response.
function forward(request) {
  const outgoing = new OutgoingRequest(rules(request.headers(), "x-secret"));
  outgoing.setMethod(request.method());
  outgoing.setPathWithQuery(request.pathWithQuery());
  outgoing.setScheme(request.scheme());
  outgoing.setAuthority(request.authority());
  const to = outgoing.body();
  const future = sendOn(outgoing, undefined);
  relay(request.consume(), to);

  block(future.subscribe());
  const response = value(future.get());
  drop(future);
  return response;
}

function respond(response, out) {
  const outgoing = new OutgoingResponse(rules(response.headers(), "server-secret"));
  outgoing.setStatusCode(response.status());
  const to = outgoing.body();
  ResponseOutparam.set(out, { tag: "ok", val: outgoing });
  relay(response.consume(), to);
}

// Takes the headers of a message and returns a changed copy.
function rules(received, secret) {
  const headers = received.clone();
  drop(received);
  headers.delete(secret);
  headers.set("x-plugin", [VALUE_PLUGIN]);
  headers.append("x-multi", VALUE_MULTI);
  return headers;
}

// Moves the body without a byte of it entering this guest, and then the trailers.
function relay(from, to) {
  if (!splice(from, to)) {
    // A body that is dropped instead of finished is one the receiver knows to be cut short.
    drop(from);
    drop(to);
    return;
  }
  const future = IncomingBody.finish(from);
  let trailers = future.get();
  while (trailers === undefined) {
    block(future.subscribe());
    trailers = future.get();
  }
  drop(future);
  try {
    OutgoingBody.finish(to, value(trailers));
  } catch (failure) {
    // The receiver may have gone: there is nobody left to tell.
    if (failure?.payload === undefined) throw failure;
  }
}

// False if the body broke off.
function splice(from, to) {
  const input = from.stream();
  const output = to.write();
  try {
    for (;;) output.blockingSplice(input, EVERYTHING);
  } catch (end) {
    if (end?.payload === undefined) throw end;
    return end.payload.tag === "closed";
  } finally {
    drop(output);
    drop(input);
  }
}

function block(pollable) {
  pollable.block();
  drop(pollable);
}

// What a future that is ready holds: the outer result says that this is the first call, the inner one is the host's.
function value(ready) {
  const result = ready.val;
  if (result.tag === "err") throw { payload: result.val };
  return result.val;
}

function drop(resource) {
  resource[Symbol.dispose]();
}
