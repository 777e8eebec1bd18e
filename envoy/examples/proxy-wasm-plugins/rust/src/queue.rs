//! A queue from one plugin to another.

use crate::configuration;
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType};
use serde_json::Value;
use std::rc::Rc;

/// Tells the queue of every request.
struct Producer(String);

pub fn create(config: &Rc<Value>) -> Box<dyn HttpContext> {
    Box::new(Producer(name(config)))
}

fn name(config: &Value) -> String {
    configuration::text(config, "queue", "requests")
}

impl Context for Producer {}

impl HttpContext for Producer {
    fn on_http_request_headers(&mut self, _count: usize, _end: bool) -> Action {
        let method = self.get_http_request_header(":method").unwrap_or_default();
        let path = self.get_http_request_header(":path").unwrap_or_default();
        let vm_id = crate::text(self.get_property(vec!["plugin_vm_id"]));
        // The consumer may have started after this plugin, so the queue is looked up as late as can be.
        match self.resolve_shared_queue(&vm_id, &self.0) {
            None => log::error!("queue: no queue {:?}", self.0),
            Some(queue) => {
                if let Err(status) = self.enqueue_shared_queue(queue, Some(format!("{method} {path}").as_bytes())) {
                    log::error!("queue: {status:?}");
                }
            }
        }
        Action::Continue
    }
}

/// Logs what is in the queue. It has nothing to do with exchanges.
pub struct Consumer;

impl Context for Consumer {}

impl RootContext for Consumer {
    fn on_configure(&mut self, _size: usize) -> bool {
        match configuration::read() {
            Ok(config) => hostcalls::register_shared_queue(&name(&config)).is_ok(),
            Err(err) => {
                log::error!("the configuration can't be used: {err}");
                false
            }
        }
    }

    /// Empties the queue: another VM that was told too may have been faster.
    fn on_queue_ready(&mut self, queue: u32) {
        while let Ok(Some(item)) = self.dequeue_shared_queue(queue) {
            log::info!("queue: {}", String::from_utf8_lossy(&item));
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Idle))
    }
}

struct Idle;

impl Context for Idle {}

impl HttpContext for Idle {}
