//! Removes, sets and adds trailers in both directions, if there are any.

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

pub struct Trailers;

impl Context for Trailers {}

impl HttpContext for Trailers {
    fn on_http_request_trailers(&mut self, count: usize) -> Action {
        log::info!("trailers: request has {count}");
        self.set_http_request_trailer("x-secret-trailer", None);
        self.set_http_request_trailer("x-trailer-plugin", Some("trailers"));
        self.add_http_request_trailer("x-multi-trailer", "plugin");
        Action::Continue
    }

    fn on_http_response_trailers(&mut self, count: usize) -> Action {
        log::info!("trailers: response has {count}");
        self.set_http_response_trailer("x-secret-trailer", None);
        self.set_http_response_trailer("x-trailer-plugin", Some("trailers"));
        self.add_http_response_trailer("x-multi-trailer", "plugin");
        Action::Continue
    }
}
