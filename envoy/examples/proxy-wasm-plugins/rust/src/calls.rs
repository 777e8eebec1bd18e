//! Logs every callback, in the order in which the host makes them. How bodies are cut is up to the host: of a body it logs the sum at its end.

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType};

pub struct Calls;

impl Context for Calls {
    fn on_done(&mut self) -> bool {
        log::info!("calls: plugin done");
        true
    }
}

impl RootContext for Calls {
    fn on_vm_start(&mut self, size: usize) -> bool {
        log::info!("calls: vm start, {size} bytes of configuration");
        true
    }

    fn on_configure(&mut self, size: usize) -> bool {
        log::info!("calls: configure, {size} bytes of configuration");
        true
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        log::info!("calls: created");
        Some(Box::new(Exchange::default()))
    }
}

#[derive(Default)]
struct Exchange {
    request: usize,
    response: usize,
}

impl Context for Exchange {
    fn on_done(&mut self) -> bool {
        log::info!("calls: done");
        true
    }
}

impl HttpContext for Exchange {
    fn on_http_request_headers(&mut self, _count: usize, end: bool) -> Action {
        log::info!("calls: request headers, end {end}");
        Action::Continue
    }

    fn on_http_request_body(&mut self, size: usize, end: bool) -> Action {
        self.request += size;
        if end {
            log::info!("calls: request body of {}, end", self.request);
        }
        Action::Continue
    }

    fn on_http_request_trailers(&mut self, count: usize) -> Action {
        log::info!("calls: request trailers, {count}, after {}", self.request);
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _count: usize, end: bool) -> Action {
        log::info!("calls: response headers, end {end}");
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, end: bool) -> Action {
        self.response += size;
        if end {
            log::info!("calls: response body of {}, end", self.response);
        }
        Action::Continue
    }

    fn on_http_response_trailers(&mut self, count: usize) -> Action {
        log::info!("calls: response trailers, {count}, after {}", self.response);
        Action::Continue
    }

    fn on_log(&mut self) {
        log::info!("calls: log");
    }
}
