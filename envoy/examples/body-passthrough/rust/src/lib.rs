//! Adds one response header and hands both bodies on without reading them.

use relay::{Fields, Headers, IncomingRequest, ResponseOutparam, Untouched};

struct Plugin;

wasip2::http::proxy::export!(Plugin);

impl wasip2::exports::http::incoming_handler::Guest for Plugin {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        relay::exchange(
            request,
            out,
            Untouched,
            Headers(|headers: &Fields| {
                headers
                    .set("x-plugin", &[b"body-passthrough".to_vec()])
                    .expect("a valid header that may be changed")
            }),
        );
    }
}
