//! Exits instead of answering: as a success on the path /exit, as a failure on /exit-failure.

use relay::{IncomingRequest, ResponseOutparam, Untouched};
use wasip2::cli::exit::exit;

struct Guest;

wasip2::http::proxy::export!(Guest);

impl wasip2::exports::http::incoming_handler::Guest for Guest {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        match relay::path_of(&request).as_str() {
            "/exit" => exit(Ok(())),
            "/exit-failure" => exit(Err(())),
            _ => {}
        }
        relay::exchange(request, out, Untouched, Untouched);
    }
}
