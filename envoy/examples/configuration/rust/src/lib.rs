//! Sets the response header that its configuration names.

use relay::{Fields, Headers, IncomingRequest, ResponseOutparam, Untouched};

struct Plugin;

wasip2::http::proxy::export!(Plugin);

impl wasip2::exports::http::incoming_handler::Guest for Plugin {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        relay::exchange(request, out, Untouched, Headers(configured));
    }
}

fn configured(headers: &Fields) {
    let state = match (config::get("header"), config::get("value")) {
        (Some(name), Some(value)) => match headers.set(&name, &[value.into_bytes()]) {
            Ok(()) => return,
            Err(_) => b"invalid".to_vec(),
        },
        _ => b"missing".to_vec(),
    };
    headers.set("x-config", &[state]).expect("a valid header that may be changed");
}
