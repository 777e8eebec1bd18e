//! Allocates and writes to memory on the path /bomb until there is none left, and then traps.

use relay::{IncomingRequest, ResponseOutparam, Untouched};

struct Guest;

wasip2::http::proxy::export!(Guest);

impl wasip2::exports::http::incoming_handler::Guest for Guest {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        if relay::path_of(&request) == "/bomb" {
            loop {
                core::hint::black_box(vec![1u8; 1 << 20].leak());
            }
        }
        relay::exchange(request, out, Untouched, Untouched);
    }
}
