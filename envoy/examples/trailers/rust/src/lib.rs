//! Adds to the trailers of both directions, and removes from them.

use relay::{Edit, Fields, IncomingRequest, ResponseOutparam};

/// The direction to the upstream, which remembers how many trailers came, once that is known.
#[derive(Default)]
struct Request {
    trailers: Option<usize>,
}

impl Edit for Request {
    fn trailers(&mut self, trailers: Option<Fields>) -> Option<Fields> {
        self.trailers = Some(trailers.as_ref().map_or(0, |trailers| trailers.entries().len()));
        trailers.map(rules)
    }
}

/// The direction back.
struct Response {
    saw: Option<usize>,
}

impl Edit for Response {
    fn headers(&mut self, headers: &Fields) {
        if let Some(count) = self.saw {
            headers
                .set("x-saw-request-trailers", &[count.to_string().into_bytes()])
                .expect("a valid header that may be changed");
        }
    }

    fn trailers(&mut self, trailers: Option<Fields>) -> Option<Fields> {
        trailers.map(rules)
    }
}

fn rules(received: Fields) -> Fields {
    const VALID: &str = "a valid trailer that may be changed";
    let trailers = received.clone();
    trailers.delete("x-secret-trailer").expect(VALID);
    trailers.append("x-trailer-plugin", b"trailers").expect(VALID);
    trailers
}

struct Plugin;

wasip2::http::proxy::export!(Plugin);

impl wasip2::exports::http::incoming_handler::Guest for Plugin {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let mut edit = Request::default();
        match relay::forward(request, &mut edit) {
            Ok(response) => relay::respond(out, response, &mut Response { saw: edit.trailers }),
            Err(code) => ResponseOutparam::set(out, Err(code)),
        }
    }
}
