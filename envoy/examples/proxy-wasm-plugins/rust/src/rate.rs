//! Counts requests in shared data, so that all VMs count together.

use crate::configuration::{number, text};
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, Status};
use serde_json::Value;
use std::rc::Rc;
use std::time::UNIX_EPOCH;

/// A version that no value has: what is written with it is written only if there is no value. Without a version, whoever comes late
/// would write over the count of others.
const ABSENT: u32 = u32::MAX;

struct Rate {
    header: String,
    /// How many requests pass in a window of so many milliseconds.
    limit: u64,
    window: u64,
    left: u64,
}

pub fn create(config: &Rc<Value>) -> Box<dyn HttpContext> {
    Box::new(Rate {
        header: text(config, "header", "x-client"),
        limit: number(config, "limit", 10),
        window: number(config, "window", 60_000),
        left: 0,
    })
}

impl Context for Rate {}

impl HttpContext for Rate {
    fn on_http_request_headers(&mut self, _count: usize, _end: bool) -> Action {
        let client = self.get_http_request_header(&self.header).unwrap_or("anonymous".into());
        let now = self.get_current_time().duration_since(UNIX_EPOCH).unwrap_or_default();
        let count = self.count(&format!("rate-limit/{client}"), now.as_millis() as u64);
        if count <= self.limit {
            self.left = self.limit - count;
            return Action::Continue;
        }
        log::warn!("rate-limit: {client} has sent {count}");
        let retry = self.window.div_ceil(1000).to_string();
        self.send_http_response(429, vec![("content-type", "text/plain"), ("retry-after", &retry)], Some(b"too many requests\n"));
        Action::Pause
    }

    fn on_http_response_headers(&mut self, _count: usize, _end: bool) -> Action {
        self.set_http_response_header("x-ratelimit-remaining", Some(&self.left.to_string()));
        Action::Continue
    }
}

impl Rate {
    /// Returns how many requests of a window there are with this one. Of two that count at once, one finds the number changed and counts anew.
    fn count(&self, key: &str, now: u64) -> u64 {
        loop {
            let (value, version) = self.get_shared_data(key);
            let (mut start, mut count) = match value.as_deref() {
                Some(value) if value.len() == 16 => (word(&value[..8]), word(&value[8..])),
                _ => (now, 0),
            };
            // Whoever has begun the window may have read the clock later.
            if now.saturating_sub(start) >= self.window {
                (start, count) = (now, 0);
            }
            count += 1;
            let value = [start.to_le_bytes(), count.to_le_bytes()].concat();
            match self.set_shared_data(key, Some(&value), version.or(Some(ABSENT))) {
                Err(Status::CasMismatch) => continue,
                Err(status) => log::error!("rate-limit: {status:?}"),
                Ok(()) => {}
            }
            return count;
        }
    }
}

fn word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}
