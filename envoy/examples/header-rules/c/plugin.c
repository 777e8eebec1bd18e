// Sets, appends and removes headers in both directions, and hands bodies and trailers on untouched.
//
// plugin.h is what `wit-bindgen c` makes of ../../wit; the names below shorten its own.

#include "plugin.h"

#define TYPES(name) wasi_http_types_##name
#define STREAMS(name) wasi_io_streams_##name
#define BORROW(kind, handle) TYPES(borrow_##kind)(handle)

typedef TYPES(own_fields_t) fields;
typedef TYPES(own_incoming_body_t) incoming_body;
typedef TYPES(own_outgoing_body_t) outgoing_body;
typedef TYPES(own_incoming_response_t) incoming_response;
typedef TYPES(error_code_t) error_code;

// A text that lasts as long as the program, in the shape of any of the three types that bindings give to bytes.
#define TEXT(literal) {(uint8_t *)literal, sizeof literal - 1}

static TYPES(field_name_t) name_secret = TEXT("x-secret");
static TYPES(field_name_t) name_server_secret = TEXT("server-secret");
static TYPES(field_name_t) name_plugin = TEXT("x-plugin");
static TYPES(field_name_t) name_multi = TEXT("x-multi");
static TYPES(field_value_t) value_plugin = TEXT("header-rules");
static TYPES(field_value_t) value_multi = TEXT("plugin");

// Takes the headers of a message and returns a changed copy.
static fields rules(fields received, TYPES(field_name_t) *secret) {
  TYPES(header_error_t) err;
  TYPES(list_field_value_t) values = {&value_plugin, 1};
  fields headers = TYPES(method_fields_clone)(BORROW(fields, received));
  TYPES(fields_drop_own)(received);
  if (!TYPES(method_fields_delete)(BORROW(fields, headers), secret, &err) ||
      !TYPES(method_fields_set)(BORROW(fields, headers), &name_plugin, &values, &err) ||
      !TYPES(method_fields_append)(BORROW(fields, headers), &name_multi, &value_multi, &err))
    __builtin_trap();
  return headers;
}

static void block(wasi_io_poll_own_pollable_t pollable) {
  wasi_io_poll_method_pollable_block(wasi_io_poll_borrow_pollable(pollable));
  wasi_io_poll_pollable_drop_own(pollable);
}

// Hands over everything, without a byte of it entering this guest. False if the body broke off.
static bool splice(incoming_body from, outgoing_body to) {
  STREAMS(own_input_stream_t) input;
  STREAMS(own_output_stream_t) output;
  STREAMS(stream_error_t) err;
  uint64_t moved;
  if (!TYPES(method_incoming_body_stream)(BORROW(incoming_body, from), &input) ||
      !TYPES(method_outgoing_body_write)(BORROW(outgoing_body, to), &output))
    __builtin_trap();
  while (STREAMS(method_output_stream_blocking_splice)(STREAMS(borrow_output_stream)(output),
                                                       STREAMS(borrow_input_stream)(input), UINT64_MAX, &moved, &err))
    ;
  STREAMS(output_stream_drop_own)(output);
  STREAMS(input_stream_drop_own)(input);
  if (err.tag == WASI_IO_STREAMS_STREAM_ERROR_CLOSED) return true;
  STREAMS(stream_error_free)(&err);
  return false;
}

// Moves the body and then the trailers, if there are any.
static void relay(incoming_body from, outgoing_body to) {
  TYPES(result_result_option_own_trailers_error_code_void_t) got;
  error_code err;
  if (!splice(from, to)) {
    // A body that is dropped instead of finished is one the receiver knows to be cut short.
    TYPES(incoming_body_drop_own)(from);
    TYPES(outgoing_body_drop_own)(to);
    return;
  }
  TYPES(own_future_trailers_t) future = TYPES(static_incoming_body_finish)(from);
  while (!TYPES(method_future_trailers_get)(BORROW(future_trailers, future), &got))
    block(TYPES(method_future_trailers_subscribe)(BORROW(future_trailers, future)));
  TYPES(future_trailers_drop_own)(future);
  if (got.is_err) __builtin_trap();
  if (got.val.ok.is_err) {
    TYPES(error_code_free)(&got.val.ok.val.err);
    TYPES(outgoing_body_drop_own)(to);
    return;
  }
  TYPES(option_own_trailers_t) *trailers = &got.val.ok.val.ok;
  if (!TYPES(static_outgoing_body_finish)(to, trailers->is_some ? &trailers->val : NULL, &err))
    TYPES(error_code_free)(&err);
}

// Makes the request to send on: its line is the received one's, its headers are changed.
static TYPES(own_outgoing_request_t) outgoing(TYPES(borrow_incoming_request_t) request) {
  TYPES(own_outgoing_request_t) made =
      TYPES(constructor_outgoing_request)(rules(TYPES(method_incoming_request_headers)(request), &name_secret));
  TYPES(borrow_outgoing_request_t) out = BORROW(outgoing_request, made);
  TYPES(method_t) method;
  TYPES(scheme_t) scheme;
  plugin_string_t text;
  bool ok = true;

  TYPES(method_incoming_request_method)(request, &method);
  if (method.tag != WASI_HTTP_TYPES_METHOD_GET) ok = TYPES(method_outgoing_request_set_method)(out, &method);
  TYPES(method_free)(&method);
  if (TYPES(method_incoming_request_path_with_query)(request, &text)) {
    ok = TYPES(method_outgoing_request_set_path_with_query)(out, &text) && ok;
    plugin_string_free(&text);
  }
  if (TYPES(method_incoming_request_scheme)(request, &scheme)) {
    ok = TYPES(method_outgoing_request_set_scheme)(out, &scheme) && ok;
    TYPES(scheme_free)(&scheme);
  }
  if (TYPES(method_incoming_request_authority)(request, &text)) {
    ok = TYPES(method_outgoing_request_set_authority)(out, &text) && ok;
    plugin_string_free(&text);
  }
  if (!ok) __builtin_trap();
  return made;
}

// Sends the request to its end and waits for the response. False leaves the reason in err.
static bool forward(TYPES(own_incoming_request_t) received, incoming_response *response, error_code *err) {
  TYPES(borrow_incoming_request_t) request = BORROW(incoming_request, received);
  TYPES(own_outgoing_request_t) made = outgoing(request);
  TYPES(own_future_incoming_response_t) future;
  TYPES(result_result_own_incoming_response_error_code_void_t) got;
  incoming_body from;
  outgoing_body to;

  if (!TYPES(method_outgoing_request_body)(BORROW(outgoing_request, made), &to)) __builtin_trap();
  if (!wasi_http_outgoing_handler_handle(made, NULL, &future, err)) {
    TYPES(outgoing_body_drop_own)(to);
    TYPES(incoming_request_drop_own)(received);
    return false;
  }
  if (!TYPES(method_incoming_request_consume)(request, &from)) __builtin_trap();
  relay(from, to);
  TYPES(incoming_request_drop_own)(received);

  block(TYPES(method_future_incoming_response_subscribe)(BORROW(future_incoming_response, future)));
  if (!TYPES(method_future_incoming_response_get)(BORROW(future_incoming_response, future), &got) || got.is_err)
    __builtin_trap();
  TYPES(future_incoming_response_drop_own)(future);
  if (got.val.ok.is_err) {
    *err = got.val.ok.val.err;
    return false;
  }
  *response = got.val.ok.val.ok;
  return true;
}

void exports_wasi_http_incoming_handler_handle(TYPES(own_incoming_request_t) request,
                                               TYPES(own_response_outparam_t) out) {
  TYPES(result_own_outgoing_response_error_code_t) answer = {0};
  incoming_response received;
  incoming_body from;
  outgoing_body to;

  if (!forward(request, &received, &answer.val.err)) {
    answer.is_err = true;
    TYPES(static_response_outparam_set)(out, &answer);
    return;
  }
  TYPES(borrow_incoming_response_t) response = BORROW(incoming_response, received);
  answer.val.ok = TYPES(constructor_outgoing_response)(
      rules(TYPES(method_incoming_response_headers)(response), &name_server_secret));
  if (!TYPES(method_outgoing_response_set_status_code)(BORROW(outgoing_response, answer.val.ok),
                                                       TYPES(method_incoming_response_status)(response)) ||
      !TYPES(method_outgoing_response_body)(BORROW(outgoing_response, answer.val.ok), &to) ||
      !TYPES(method_incoming_response_consume)(response, &from))
    __builtin_trap();
  TYPES(static_response_outparam_set)(out, &answer);
  relay(from, to);
  TYPES(incoming_response_drop_own)(received);
}
