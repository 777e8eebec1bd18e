//! Asks a service whether a request may pass, and who sends it.

use crate::configuration::{number, text};
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;
use serde_json::Value;
use std::rc::Rc;
use std::time::Duration;

struct Auth {
    cluster: String,
    path: String,
    timeout: Duration,
}

pub fn create(config: &Rc<Value>) -> Box<dyn HttpContext> {
    Box::new(Auth {
        cluster: text(config, "cluster", "auth"),
        path: text(config, "path", "/check"),
        timeout: Duration::from_millis(number(config, "timeout", 1000)),
    })
}

impl Context for Auth {
    /// Called without headers if there was no answer.
    fn on_http_call_response(&mut self, _token: u32, headers: usize, size: usize, _trailers: usize) {
        if headers == 0 {
            log::error!("auth-callout: no answer");
            return self.refuse(503, "text/plain", b"the auth service can't be reached\n");
        }
        let status = self.get_http_call_response_header(":status").unwrap_or_default();
        log::info!("auth-callout: {status}");
        if status == "200" {
            let user = self.get_http_call_response_header("x-user").unwrap_or_default();
            self.set_http_request_header("x-user", Some(&user));
            return self.resume_http_request();
        }
        let body = self.get_http_call_response_body(0, size).unwrap_or_default();
        let kind = self.get_http_call_response_header("content-type");
        self.refuse(status.parse().unwrap_or(500), &kind.unwrap_or("text/plain".into()), &body);
    }
}

impl HttpContext for Auth {
    fn on_http_request_headers(&mut self, _count: usize, _end: bool) -> Action {
        let token = self.get_http_request_header("authorization");
        let mut ask = vec![(":method", "GET"), (":path", &self.path), (":authority", &self.cluster)];
        if let Some(token) = &token {
            ask.push(("authorization", token));
        }
        if let Err(status) = self.dispatch_http_call(&self.cluster, ask, None, vec![], self.timeout) {
            log::error!("auth-callout: {status:?}");
            self.refuse(503, "text/plain", b"the auth service can't be called\n");
        }
        Action::Pause
    }
}

impl Auth {
    fn refuse(&self, status: u32, kind: &str, body: &[u8]) {
        self.send_http_response(status, vec![("content-type", kind)], Some(body));
    }
}
