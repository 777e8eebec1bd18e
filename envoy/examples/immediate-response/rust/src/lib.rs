//! Answers some paths itself, so that their requests never reach the upstream.

use relay::{IncomingRequest, OutputStream, ResponseOutparam, StreamError, Untouched};

const PLUGIN: (&str, &[u8]) = ("x-plugin", b"immediate-response");
const TEXT: (&str, &[u8]) = ("content-type", b"text/plain");

struct Plugin;

wasip2::http::proxy::export!(Plugin);

impl wasip2::exports::http::incoming_handler::Guest for Plugin {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = relay::path_of(&request);
        if path.starts_with("/denied") {
            relay::answer(out, 403, &[TEXT, PLUGIN], |body| {
                relay::write_all(body, b"denied by plugin\n")
            });
        } else if path == "/redirect" {
            relay::answer(out, 302, &[("location", b"/elsewhere"), PLUGIN], |_| Ok(()));
        } else if path == "/teapot" {
            relay::answer(out, 418, &[TEXT, PLUGIN], tea);
        } else {
            relay::exchange(request, out, Untouched, Untouched);
        }
    }
}

/// 256 KiB, made and sent in 64 pieces: 4 KiB of `a`, 4 KiB of `b`, and so on, again from `a` after `z`.
fn tea(body: &OutputStream) -> Result<(), StreamError> {
    for letter in (b'a'..=b'z').cycle().take(64) {
        relay::write_all(body, &[letter; 4096])?;
    }
    Ok(())
}
