//! Does what the request's x-do says: pass, or one of change, answer and trap in one of the six phases, such as
//! `change:response-body`. A change adds x-changed to headers and trailers, and puts bodies in capitals.

use relay::{Edit, Fields, IncomingBody, IncomingRequest, InputStream, OutputStream, ResponseOutparam, StreamError};

struct Guest;

wasip2::http::proxy::export!(Guest);

impl wasip2::exports::http::incoming_handler::Guest for Guest {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let order = order_of(&request);
        let (action, phase) = order.split_once(':').unwrap_or((order.as_str(), ""));
        match (action, phase) {
            ("trap", "request-headers") => core::arch::wasm32::unreachable(),
            ("answer", "request-headers") => return answer(out, phase),
            ("answer", "request-body") => {
                let body = request.consume().expect("first call of consume");
                return answer(out, read_to_end(&body, phase));
            }
            ("answer", "request-trailers") => {
                let body = request.consume().expect("first call of consume");
                read_to_end(&body, phase);
                let _ = relay::trailers_of(body);
                return answer(out, phase);
            }
            _ => {}
        }
        let part = phase.strip_prefix("request-").unwrap_or("");
        let response = match relay::forward(request, &mut Order { action, part, phase }) {
            Ok(response) => response,
            Err(code) => return ResponseOutparam::set(out, Err(code)),
        };
        let part = phase.strip_prefix("response-").unwrap_or("");
        match (action, part) {
            ("trap", "headers") => core::arch::wasm32::unreachable(),
            ("answer", "headers") => answer(out, phase),
            ("answer", "body") => {
                let body = response.consume().expect("first call of consume");
                answer(out, read_to_end(&body, phase));
            }
            ("answer", "trailers") => {
                let body = response.consume().expect("first call of consume");
                read_to_end(&body, phase);
                let _ = relay::trailers_of(body);
                answer(out, phase);
            }
            _ => relay::respond(out, response, &mut Order { action, part, phase }),
        }
    }
}

fn order_of(request: &IncomingRequest) -> String {
    let values = request.headers().get("x-do");
    String::from_utf8(values.into_iter().next().unwrap_or_default()).unwrap_or_default()
}

fn answer(out: ResponseOutparam, phase: &str) {
    relay::answer(out, 418, &[("x-answered", phase.as_bytes())], |to| {
        relay::write_all(to, b"answered by the guest")
    });
}

/// Reads a body and says of which phase that was.
fn read_to_end<'a>(body: &IncomingBody, phase: &'a str) -> &'a str {
    let from = body.stream().expect("first call of stream");
    while from.blocking_read(65536).is_ok() {}
    phase
}

/// What is to be done in one direction.
struct Order<'a> {
    action: &'a str,
    part: &'a str,
    phase: &'a str,
}

impl Edit for Order<'_> {
    fn headers(&mut self, headers: &Fields) {
        if (self.action, self.part) == ("change", "headers") {
            headers.set("x-changed", &[self.phase.as_bytes().to_vec()]).expect("a valid header");
        }
    }

    fn body(&mut self, from: &InputStream, to: &OutputStream) -> Result<(), StreamError> {
        if self.part != "body" {
            return relay::splice(from, to);
        }
        loop {
            match from.blocking_read(65536) {
                Ok(_) if self.action == "trap" => core::arch::wasm32::unreachable(),
                Ok(mut piece) => {
                    piece.make_ascii_uppercase();
                    relay::write_all(to, &piece)?;
                }
                Err(StreamError::Closed) => return Ok(()),
                Err(failed) => return Err(failed),
            }
        }
    }

    fn trailers(&mut self, trailers: Option<Fields>) -> Option<Fields> {
        match (self.action, self.part) {
            ("trap", "trailers") => core::arch::wasm32::unreachable(),
            ("change", "trailers") => trailers.map(|trailers| {
                let changed = trailers.clone();
                changed.set("x-changed", &[self.phase.as_bytes().to_vec()]).expect("a valid trailer");
                changed
            }),
            _ => trailers,
        }
    }
}
