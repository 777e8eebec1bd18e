//! Sets, appends and removes headers in both directions.

use relay::{Fields, Headers, IncomingRequest, ResponseOutparam};

struct Plugin;

wasip2::http::proxy::export!(Plugin);

impl wasip2::exports::http::incoming_handler::Guest for Plugin {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        relay::exchange(
            request,
            out,
            Headers(|headers: &Fields| rules(headers, "x-secret")),
            Headers(|headers: &Fields| rules(headers, "server-secret")),
        );
    }
}

fn rules(headers: &Fields, secret: &str) {
    const VALID: &str = "a valid header that may be changed";
    headers.delete(secret).expect(VALID);
    headers.set("x-plugin", &[b"header-rules".to_vec()]).expect(VALID);
    headers.append("x-multi", b"plugin").expect(VALID);
}
