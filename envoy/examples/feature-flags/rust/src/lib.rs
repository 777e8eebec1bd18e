//! Keeps the feature flags of a service at hand, and tells the upstream which are on.
//!
//! A timer fetches them, once for all exchanges: no request waits for the service.

use relay::{Fields, Headers, IncomingRequest, OutgoingRequest, ResponseOutparam, Untouched};

wit_bindgen::generate!({
    inline: "
        package examples:feature-flags;
        world feature-flags {
            import wasi:keyvalue/store@0.2.0-draft;
            import http-proxy:plugin/callouts@0.1.0;
            import http-proxy:plugin/metrics@0.1.0;
            include http-proxy:plugin/with-startup@0.1.0;
            include http-proxy:plugin/with-timers@0.1.0;
        }",
    path: "../../../../wit",
    world: "examples:feature-flags/feature-flags",
    with: {
        "wasi:http/types@0.2.12": wasip2::http::types,
        "wasi:io/error@0.2.12": wasip2::io::error,
        "wasi:io/poll@0.2.12": wasip2::io::poll,
        "wasi:io/streams@0.2.12": wasip2::io::streams,
        "wasi:clocks/monotonic-clock@0.2.12": wasip2::clocks::monotonic_clock,
    },
    generate_all,
});

use exports::http_proxy::plugin::{startup, timer_handler};
use http_proxy::plugin::{callouts, metrics, timers};
use wasi::keyvalue::store;

const KEY: &str = "feature flags";
const MILLISECOND: u64 = 1_000_000;

struct Plugin;

wasip2::http::proxy::export!(Plugin);
export!(Plugin);

impl startup::Guest for Plugin {
    fn start() -> Result<(), String> {
        let every = config::get("refresh-ms").unwrap_or_else(|| "10000".into());
        let every: u64 = every.parse().map_err(|_| format!("refresh-ms is {every:?}, expected milliseconds"))?;
        timers::set("refresh", 0, Some(every * MILLISECOND)).map_err(|error| error.to_string())
    }
}

impl timer_handler::Guest for Plugin {
    fn on_timer(_name: String) {
        // With a service that doesn't answer the flags stay as they were.
        let counter = match fetch() {
            Some(flags) if store::open("").and_then(|bucket| bucket.set(KEY, &flags)).is_ok() => "flags_refreshed",
            _ => "flags_stale",
        };
        let _ = metrics::count(counter, 1);
    }
}

/// Asks the service for the flags that are on: names with commas between.
fn fetch() -> Option<Vec<u8>> {
    let request = OutgoingRequest::new(Fields::new());
    request.set_path_with_query(Some("/flags")).ok()?;
    let response = relay::response_of(callouts::send("flags", request, None).ok()?).ok()?;
    if response.status() != 200 {
        return None;
    }
    let body = response.consume().ok()?;
    let stream = body.stream().ok()?;
    let mut flags = Vec::new();
    loop {
        match stream.blocking_read(4096) {
            Ok(bytes) => flags.extend(bytes),
            Err(relay::StreamError::Closed) => return Some(flags.trim_ascii().to_vec()),
            Err(_) => return None,
        }
    }
}

impl wasip2::exports::http::incoming_handler::Guest for Plugin {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let flags = store::open("").and_then(|bucket| bucket.get(KEY)).ok().flatten();
        let tell = Headers(|headers: &Fields| {
            // What the client says of flags is of no account.
            let _ = headers.delete("x-flags");
            if let Some(flags) = &flags {
                let _ = headers.set("x-flags", std::slice::from_ref(flags));
            }
        });
        relay::exchange(request, out, tell, Untouched);
    }
}
