//! Sets, adds and removes headers in both directions.

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

pub struct Headers;

impl Context for Headers {}

impl HttpContext for Headers {
    fn on_http_request_headers(&mut self, _count: usize, _end: bool) -> Action {
        log::info!("headers: {}", self.get_http_request_header(":path").unwrap_or_default());
        self.remove_http_request_header("x-secret");
        self.set_http_request_header("x-plugin", Some("headers"));
        self.add_http_request_header("x-multi", "plugin");
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _count: usize, _end: bool) -> Action {
        log::info!("headers: {}", self.get_http_response_header(":status").unwrap_or_default());
        self.remove_http_response_header("server-secret");
        self.set_http_response_header("x-plugin", Some("headers"));
        self.add_http_response_header("x-multi", "plugin");
        Action::Continue
    }
}
