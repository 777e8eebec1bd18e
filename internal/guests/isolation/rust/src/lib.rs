//! Counts its calls in a global variable. A host that gives each exchange an instance of its own always sees 1.

use relay::{Fields, Headers, IncomingRequest, ResponseOutparam, Untouched};
use std::sync::atomic::{AtomicU32, Ordering};

static CALLS: AtomicU32 = AtomicU32::new(0);

struct Guest;

wasip2::http::proxy::export!(Guest);

impl wasip2::exports::http::incoming_handler::Guest for Guest {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
        relay::exchange(
            request,
            out,
            Untouched,
            Headers(|headers: &Fields| {
                headers
                    .set("x-count", &[calls.to_string().into_bytes()])
                    .expect("a valid header that may be changed")
            }),
        );
    }
}
