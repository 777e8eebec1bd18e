//! Counts requests, those under way, and the sizes that responses declare.

use proxy_wasm::hostcalls::{define_metric, get_metric, increment_metric, record_metric};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, MetricType, Status};

/// The ids of the metrics.
#[derive(Clone, Copy, Default)]
pub struct Meter {
    requests: u32,
    active: u32,
    sizes: u32,
}

impl Meter {
    fn define(&mut self) -> Result<(), Status> {
        self.requests = define_metric(MetricType::Counter, "plugin_requests")?;
        self.active = define_metric(MetricType::Gauge, "plugin_active")?;
        self.sizes = define_metric(MetricType::Histogram, "plugin_sizes")?;
        Ok(())
    }
}

impl Context for Meter {}

impl RootContext for Meter {
    fn on_configure(&mut self, _size: usize) -> bool {
        check(self.define());
        true
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Measured(*self)))
    }
}

struct Measured(Meter);

impl Context for Measured {
    fn on_done(&mut self) -> bool {
        check(increment_metric(self.0.active, -1));
        true
    }
}

impl HttpContext for Measured {
    fn on_http_request_headers(&mut self, _count: usize, _end: bool) -> Action {
        check(increment_metric(self.0.requests, 1));
        check(increment_metric(self.0.active, 1));
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _count: usize, _end: bool) -> Action {
        let length = self.get_http_response_header("content-length").and_then(|length| length.parse().ok());
        if let Some(length) = length {
            check(record_metric(self.0.sizes, length));
        }
        self.set_http_response_header("x-requests", Some(&check(get_metric(self.0.requests)).to_string()));
        self.set_http_response_header("x-active", Some(&check(get_metric(self.0.active)).to_string()));
        Action::Continue
    }
}

fn check<T: Default>(result: Result<T, Status>) -> T {
    result.unwrap_or_else(|status| {
        log::error!("hostcall failed: {status:?}");
        T::default()
    })
}
