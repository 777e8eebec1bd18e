//! Holds bodies back until they are whole, and replaces each with its length and its text in upper case.

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

/// How much of each body is held back, in bytes.
#[derive(Default)]
pub struct Body {
    request: usize,
    response: usize,
}

impl Context for Body {}

impl HttpContext for Body {
    fn on_http_request_headers(&mut self, _count: usize, end: bool) -> Action {
        if !end {
            // The headers go on before the body is known, so its new length can't be in them.
            self.remove_http_request_header("content-length");
        }
        Action::Continue
    }

    fn on_http_request_body(&mut self, size: usize, end: bool) -> Action {
        self.request = size;
        if !end {
            return Action::Pause;
        }
        self.replace_request();
        Action::Continue
    }

    /// Trailers are the end of a body that has them.
    fn on_http_request_trailers(&mut self, _count: usize) -> Action {
        self.replace_request();
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _count: usize, end: bool) -> Action {
        if !end {
            self.remove_http_response_header("content-length");
        }
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, end: bool) -> Action {
        self.response = size;
        if !end {
            return Action::Pause;
        }
        self.replace_response();
        Action::Continue
    }

    fn on_http_response_trailers(&mut self, _count: usize) -> Action {
        self.replace_response();
        Action::Continue
    }
}

impl Body {
    fn replace_request(&self) {
        if self.request > 0 {
            let whole = self.get_http_request_body(0, self.request).unwrap_or_default();
            log::info!("body: request of {} bytes", whole.len());
            self.set_http_request_body(0, self.request, &changed(&whole));
        }
    }

    fn replace_response(&self) {
        if self.response > 0 {
            let whole = self.get_http_response_body(0, self.response).unwrap_or_default();
            log::info!("body: response of {} bytes", whole.len());
            self.set_http_response_body(0, self.response, &changed(&whole));
        }
    }
}

fn changed(whole: &[u8]) -> Vec<u8> {
    let mut out = format!("[{}]", whole.len()).into_bytes();
    out.extend(whole.iter().map(u8::to_ascii_uppercase));
    out
}
