//! Lets so many requests of each client pass in a window of time. All replicas that share a store count together.
//!
//! It uses WASI only, and so runs under `wasmtime serve` too.

use relay::{Fields, Headers, IncomingRequest, ResponseOutparam, Untouched};

wit_bindgen::generate!({
    inline: "
        package examples:rate-limit;
        world rate-limit {
            import wasi:keyvalue/store@0.2.0-draft;
            import wasi:keyvalue/atomics@0.2.0-draft;
        }",
    path: "../../../../wit",
    world: "examples:rate-limit/rate-limit",
    generate_all,
});

use wasi::keyvalue::{atomics, store};

struct Plugin;

wasip2::http::proxy::export!(Plugin);

/// So many requests pass in a window of so many milliseconds.
struct Rate {
    header: String,
    limit: u64,
    window: u64,
}

impl wasip2::exports::http::incoming_handler::Guest for Plugin {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let rate = Rate {
            header: config::get("header").unwrap_or("x-client".into()),
            limit: number("limit", 10),
            window: number("window", 60_000).max(1),
        };
        let client = request.headers().get(&rate.header).pop().unwrap_or(b"anonymous".to_vec());
        let now = wasip2::clocks::wall_clock::now();
        let now = now.seconds * 1000 + u64::from(now.nanoseconds) / 1_000_000;
        match rate.count(&String::from_utf8_lossy(&client), now) {
            Ok(count) if count <= rate.limit => {
                let left = (rate.limit - count).to_string();
                let tell = Headers(|headers: &Fields| {
                    headers
                        .set("x-ratelimit-remaining", &[left.clone().into_bytes()])
                        .expect("a valid header that may be changed")
                });
                relay::exchange(request, out, Untouched, tell);
            }
            Ok(_) => {
                let retry = (rate.window - now % rate.window).div_ceil(1000).to_string();
                let headers: [(&str, &[u8]); 2] =
                    [("content-type", b"text/plain"), ("retry-after", retry.as_bytes())];
                relay::answer(out, 429, &headers, |body| relay::write_all(body, b"too many requests\n"));
            }
            // Without the count there is no telling whether this one is too many.
            Err(_) => relay::answer(out, 503, &[("content-type", b"text/plain")], |body| {
                relay::write_all(body, b"the store can't be reached\n")
            }),
        }
    }
}

impl Rate {
    /// Counts a request: how many there are in this window with it. Each window has a number of its own in the store, so that one
    /// call counts, whoever else does at the same time.
    fn count(&self, client: &str, now: u64) -> Result<u64, store::Error> {
        let bucket = store::open("")?;
        atomics::increment(&bucket, &format!("rate-limit/{client}/{}", now / self.window), 1)
    }
}

fn number(key: &str, otherwise: u64) -> u64 {
    config::get(key).and_then(|value| value.parse().ok()).unwrap_or(otherwise)
}
