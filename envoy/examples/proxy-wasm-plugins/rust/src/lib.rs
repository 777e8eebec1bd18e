//! Several plugins in one proxy-wasm module: the root id says which of them a configuration means.

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, RootContext};
use proxy_wasm::types::LogLevel;

mod auth;
mod body;
mod calls;
mod chain;
mod configuration;
mod headers;
mod metrics;
mod properties;
mod queue;
mod rate;
mod respond;
mod tick;
mod trailers;

use configuration::configured;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Trace);
    proxy_wasm::set_root_context(|_| create(&root_id()));
}}

fn create(root_id: &str) -> Box<dyn RootContext> {
    match root_id {
        "headers" => configured(|_| Box::new(headers::Headers)),
        "body" => configured(|_| Box::new(body::Body::default())),
        "auth-callout" => configured(auth::create),
        "rate-limit" => configured(rate::create),
        "queue-producer" => configured(queue::create),
        "queue-consumer" => Box::new(queue::Consumer),
        "tick" => Box::new(tick::Ticker::default()),
        "metrics" => Box::new(metrics::Meter::default()),
        "local-response" => configured(|_| Box::new(respond::Responder::default())),
        "trailers" => configured(|_| Box::new(trailers::Trailers)),
        "properties" => configured(properties::create),
        "chain" => configured(chain::create),
        "calls" => Box::new(calls::Calls),
        _ => Box::new(Unknown(root_id.to_string())),
    }
}

fn root_id() -> String {
    let id = hostcalls::get_property(vec!["plugin_root_id"]).ok().flatten();
    text(id)
}

/// Bytes of a property or header for people, without a failure on what isn't UTF-8.
fn text(bytes: Option<Vec<u8>>) -> String {
    String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
}

/// Refuses to start.
struct Unknown(String);

impl Context for Unknown {}

impl RootContext for Unknown {
    fn on_configure(&mut self, _size: usize) -> bool {
        log::error!("no plugin has the root id {:?}", self.0);
        false
    }
}
