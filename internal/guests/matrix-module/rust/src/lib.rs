//! The proxy-wasm module that does what the component `matrix` does.

use proxy_wasm::hostcalls::{get_map, get_buffer, send_http_response, set_buffer, set_map_value};
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, BufferType, MapType};

proxy_wasm::main! {{
    proxy_wasm::set_http_context(|_, _| Box::new(Guest { action: String::new(), phase: String::new() }));
}}

struct Guest {
    action: String,
    phase: String,
}

impl Guest {
    fn learn(&mut self) {
        let headers = get_map(MapType::HttpRequestHeaders).unwrap_or_default();
        let order = headers.into_iter().find(|(name, _)| name == "x-do").map(|(_, value)| value);
        let order = order.unwrap_or_default();
        let (action, phase) = order.split_once(':').unwrap_or((order.as_str(), ""));
        (self.action, self.phase) = (action.to_string(), phase.to_string());
    }

    fn act(&self, phase: &str, change: impl FnOnce()) -> Action {
        if self.phase != phase {
            return Action::Continue;
        }
        match self.action.as_str() {
            "trap" => core::arch::wasm32::unreachable(),
            "answer" => {
                send_http_response(418, vec![("x-answered", phase)], Some(b"answered by the guest")).expect("an answer that may be given");
                return Action::Pause;
            }
            "change" => change(),
            _ => {}
        }
        Action::Continue
    }
}

fn mark(map: MapType, phase: &str) {
    set_map_value(map, "x-changed", Some(phase)).expect("a valid field");
}

fn capitals(buffer: BufferType, size: usize) {
    if let Ok(Some(mut body)) = get_buffer(buffer, 0, size) {
        body.make_ascii_uppercase();
        set_buffer(buffer, 0, size, &body).expect("a body that may be changed");
    }
}

impl Context for Guest {}

impl HttpContext for Guest {
    fn on_http_request_headers(&mut self, _count: usize, _end: bool) -> Action {
        self.learn();
        self.act("request-headers", || mark(MapType::HttpRequestHeaders, "request-headers"))
    }

    fn on_http_request_body(&mut self, size: usize, _end: bool) -> Action {
        self.act("request-body", || capitals(BufferType::HttpRequestBody, size))
    }

    fn on_http_request_trailers(&mut self, _count: usize) -> Action {
        self.act("request-trailers", || mark(MapType::HttpRequestTrailers, "request-trailers"))
    }

    fn on_http_response_headers(&mut self, _count: usize, _end: bool) -> Action {
        self.act("response-headers", || mark(MapType::HttpResponseHeaders, "response-headers"))
    }

    fn on_http_response_body(&mut self, size: usize, _end: bool) -> Action {
        self.act("response-body", || capitals(BufferType::HttpResponseBody, size))
    }

    fn on_http_response_trailers(&mut self, _count: usize) -> Action {
        self.act("response-trailers", || mark(MapType::HttpResponseTrailers, "response-trailers"))
    }
}
