//! Answers by itself in the phase that the request's header x-respond names.

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

#[derive(Default)]
pub struct Responder {
    wanted: String,
}

impl Context for Responder {}

impl HttpContext for Responder {
    fn on_http_request_headers(&mut self, _count: usize, _end: bool) -> Action {
        self.wanted = self.get_http_request_header("x-respond").unwrap_or_default();
        self.in_phase("request-headers")
    }

    fn on_http_request_body(&mut self, _size: usize, _end: bool) -> Action {
        self.in_phase("request-body")
    }

    fn on_http_request_trailers(&mut self, _count: usize) -> Action {
        self.in_phase("request-trailers")
    }

    fn on_http_response_headers(&mut self, _count: usize, _end: bool) -> Action {
        self.in_phase("response-headers")
    }

    fn on_http_response_body(&mut self, _size: usize, _end: bool) -> Action {
        self.in_phase("response-body")
    }

    fn on_http_response_trailers(&mut self, _count: usize) -> Action {
        self.in_phase("response-trailers")
    }
}

impl Responder {
    fn in_phase(&mut self, phase: &str) -> Action {
        if phase != self.wanted {
            return Action::Continue;
        }
        self.wanted.clear(); // one answer is enough: the phases of the answer itself come past here
        log::info!("local-response: {phase}");
        self.send_http_response(
            418,
            vec![("content-type", "text/plain"), ("x-from", phase), ("set-cookie", "a=b"), ("set-cookie", "c=d")],
            Some(format!("answered in {phase}\n").as_bytes()),
        );
        Action::Pause
    }
}
