//! Logs a line at each level, and passes the request on. `wasmtime serve` has no such interface.

use relay::{IncomingRequest, ResponseOutparam, Untouched};

wit_bindgen::generate!({ world: "logs", path: "../../../../envoy/examples/wit", generate_all });

use wasi::logging::logging::{log, Level};

struct Guest;

wasip2::http::proxy::export!(Guest);

impl wasip2::exports::http::incoming_handler::Guest for Guest {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        log(Level::Trace, "guest", "a trace line");
        log(Level::Debug, "guest", "a debug line");
        log(Level::Info, "guest", "an info line");
        log(Level::Warn, "guest", "a warn line");
        log(Level::Error, "guest", "an error line");
        log(Level::Critical, "guest", "a critical line");
        relay::exchange(request, out, Untouched, Untouched);
    }
}
