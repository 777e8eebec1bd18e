//! Shows properties: those of the request and of the response in response headers, the others in the log when all is over.

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;
use serde_json::Value;
use std::fmt::Write;
use std::rc::Rc;

struct Report {
    /// Lists of paths, by phase: request, response, log; and sizes, whose values are never the same twice.
    config: Rc<Value>,
    /// What the request's paths led to.
    request: Vec<String>,
}

pub fn create(config: &Rc<Value>) -> Box<dyn HttpContext> {
    Box::new(Report { config: config.clone(), request: vec![] })
}

impl Report {
    fn paths(&self, phase: &str) -> Vec<Vec<&str>> {
        list(&self.config[phase]).iter().map(segments).collect()
    }
}

fn segments(path: &Value) -> Vec<&str> {
    list(path).iter().filter_map(Value::as_str).collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

impl Context for Report {}

impl HttpContext for Report {
    fn on_http_request_headers(&mut self, _count: usize, _end: bool) -> Action {
        self.request = self.paths("request").into_iter().map(rendered).collect();
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _count: usize, _end: bool) -> Action {
        for (path, value) in self.paths("request").iter().zip(&self.request) {
            self.add_http_response_header(&format!("x-at-request-{}", path.join(".")), value);
        }
        for path in self.paths("response") {
            self.add_http_response_header(&format!("x-at-response-{}", path.join(".")), &rendered(path));
        }
        for path in self.paths("sizes") {
            self.add_http_response_header(&format!("x-size-{}", path.join(".")), &size(path));
        }
        Action::Continue
    }

    fn on_log(&mut self) {
        for path in self.paths("log") {
            log::info!("properties: {} = {}", path.join("."), rendered(path));
        }
    }
}

fn size(path: Vec<&str>) -> String {
    match hostcalls::get_property(path) {
        Ok(Some(value)) => value.len().to_string(),
        _ => "(none)".into(),
    }
}

/// A property as a header can hold it: numbers are bytes, and so in hexadecimal.
fn rendered(path: Vec<&str>) -> String {
    match hostcalls::get_property(path) {
        Ok(Some(value)) if value.iter().all(|byte| (b' '..=b'~').contains(byte)) => format!("\"{}\"", crate::text(Some(value))),
        Ok(Some(value)) => value.iter().fold("0x".into(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}"); // writing to a string can't fail
            hex
        }),
        _ => "(none)".into(),
    }
}
