//! One plugin of a chain: it adds its name to both directions, and leaves a property for the next to see.

use crate::configuration::text;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;
use serde_json::Value;
use std::rc::Rc;

struct Link {
    name: String,
}

pub fn create(config: &Rc<Value>) -> Box<dyn HttpContext> {
    Box::new(Link { name: text(config, "name", "") })
}

impl Context for Link {}

impl HttpContext for Link {
    fn on_http_request_headers(&mut self, _count: usize, _end: bool) -> Action {
        let mut names = crate::text(self.get_property(vec!["chain"]));
        log::info!("chain: {} after {names}", self.name);
        self.add_http_request_header("x-chain", &self.name);
        names += &self.name;
        self.set_property(vec!["chain"], Some(names.as_bytes()));
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _count: usize, _end: bool) -> Action {
        log::info!("chain: {} back of {}", self.name, crate::text(self.get_property(vec!["chain"])));
        self.add_http_response_header("x-chain", &self.name);
        Action::Continue
    }
}
