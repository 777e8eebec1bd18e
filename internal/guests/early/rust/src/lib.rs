//! Answers before it reads the request's body, which it then drops unread.

use relay::{IncomingRequest, ResponseOutparam};

struct Guest;

wasip2::http::proxy::export!(Guest);

impl wasip2::exports::http::incoming_handler::Guest for Guest {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        relay::answer(out, 200, &[("content-type", b"text/plain")], |to| {
            relay::write_all(to, b"early\n")
        });
        let body = request.consume().expect("first call of consume");
        drop(body.stream().expect("first call of stream"));
        drop(body);
    }
}
