//! Counts ticks and shows their number in responses.

use crate::configuration::{self, number};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

#[derive(Default)]
pub struct Ticker {
    seen: Rc<Cell<u64>>,
    /// After so many ticks there are no more.
    wanted: u64,
}

impl Context for Ticker {}

impl RootContext for Ticker {
    fn on_configure(&mut self, _size: usize) -> bool {
        match configuration::read() {
            Ok(config) => {
                self.wanted = number(&config, "count", 10);
                self.set_tick_period(Duration::from_millis(number(&config, "period", 1000)));
                true
            }
            Err(err) => {
                log::error!("the configuration can't be used: {err}");
                false
            }
        }
    }

    fn on_tick(&mut self) {
        self.seen.set(self.seen.get() + 1);
        log::info!("tick: {}", self.seen.get());
        if self.seen.get() == self.wanted {
            self.set_tick_period(Duration::ZERO);
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Reader(self.seen.clone())))
    }
}

struct Reader(Rc<Cell<u64>>);

impl Context for Reader {}

impl HttpContext for Reader {
    fn on_http_response_headers(&mut self, _count: usize, _end: bool) -> Action {
        self.set_http_response_header("x-ticks", Some(&self.0.get().to_string()));
        Action::Continue
    }
}
