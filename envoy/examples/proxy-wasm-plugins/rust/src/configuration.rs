//! The configuration of a plugin, JSON.

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{BufferType, ContextType};
use serde_json::Value;
use std::rc::Rc;

/// Reads the configuration; none is null. The error is for people.
pub fn read() -> Result<Value, String> {
    let text = hostcalls::get_buffer(BufferType::PluginConfiguration, 0, usize::MAX).unwrap_or_default().unwrap_or_default();
    if text.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&text).map_err(|err| err.to_string())
}

pub fn text(config: &Value, field: &str, default: &str) -> String {
    config[field].as_str().unwrap_or(default).to_string()
}

pub fn number(config: &Value, field: &str, default: u64) -> u64 {
    config[field].as_u64().unwrap_or(default)
}

/// A plugin with a configuration and no state beyond an exchange's.
struct Plugin {
    config: Rc<Value>,
    create: fn(&Rc<Value>) -> Box<dyn HttpContext>,
}

pub fn configured(create: fn(&Rc<Value>) -> Box<dyn HttpContext>) -> Box<dyn RootContext> {
    Box::new(Plugin { config: Rc::new(Value::Null), create })
}

impl Context for Plugin {}

impl RootContext for Plugin {
    fn on_configure(&mut self, _size: usize) -> bool {
        match read() {
            Ok(config) => self.config = Rc::new(config),
            Err(err) => {
                log::error!("the configuration can't be used: {err}");
                return false;
            }
        }
        true
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some((self.create)(&self.config))
    }
}
