//! Traps on the path /trap.

use relay::{IncomingRequest, ResponseOutparam, Untouched};

struct Guest;

wasip2::http::proxy::export!(Guest);

impl wasip2::exports::http::incoming_handler::Guest for Guest {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        if relay::path_of(&request) == "/trap" {
            core::arch::wasm32::unreachable();
        }
        relay::exchange(request, out, Untouched, Untouched);
    }
}
