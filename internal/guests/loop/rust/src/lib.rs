//! Never returns from the path /loop, where it makes no host call, and from /loop-hostcalls, where it makes nothing else.

use relay::{IncomingRequest, ResponseOutparam, Untouched};
use wasip2::clocks::monotonic_clock;

struct Guest;

wasip2::http::proxy::export!(Guest);

impl wasip2::exports::http::incoming_handler::Guest for Guest {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        match relay::path_of(&request).as_str() {
            "/loop" => {
                let mut turns = 0u64;
                loop {
                    turns = core::hint::black_box(turns.wrapping_add(1));
                }
            }
            "/loop-hostcalls" => loop {
                monotonic_clock::now();
            },
            _ => {}
        }
        relay::exchange(request, out, Untouched, Untouched);
    }
}
