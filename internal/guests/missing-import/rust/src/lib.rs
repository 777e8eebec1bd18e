//! Imports a function that no host has.

use relay::{IncomingRequest, ResponseOutparam, Untouched};

wit_bindgen::generate!({
    inline: "
        package acme:missing@1.0.0;

        interface thing {
            call: func() -> u32;
        }

        world imports {
            import thing;
        }
    ",
});

struct Guest;

wasip2::http::proxy::export!(Guest);

impl wasip2::exports::http::incoming_handler::Guest for Guest {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        acme::missing::thing::call();
        relay::exchange(request, out, Untouched, Untouched);
    }
}
