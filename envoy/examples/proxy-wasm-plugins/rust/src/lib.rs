//! Several plugins in one proxy-wasm module: the root id says which of them a configuration means.

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{ContextType, LogLevel};

mod headers;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Trace);
    proxy_wasm::set_root_context(|_| create(&root_id()));
}}

fn create(root_id: &str) -> Box<dyn RootContext> {
    match root_id {
        "headers" => exchanges(|| Box::new(headers::Headers)),
        _ => Box::new(Unknown(root_id.to_string())),
    }
}

fn root_id() -> String {
    let id = hostcalls::get_property(vec!["plugin_root_id"]).ok().flatten();
    String::from_utf8_lossy(&id.unwrap_or_default()).into_owned()
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

/// A plugin without configuration or state.
struct Stateless(fn() -> Box<dyn HttpContext>);

fn exchanges(create: fn() -> Box<dyn HttpContext>) -> Box<dyn RootContext> {
    Box::new(Stateless(create))
}

impl Context for Stateless {}

impl RootContext for Stateless {
    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some((self.0)())
    }
}
