//! Turns the ASCII letters of both bodies into capitals, piece by piece as they arrive.

use relay::{
    Edit, Fields, IncomingRequest, InputStream, OutputStream, ResponseOutparam, StreamError,
};

/// A piece of a body is mostly no longer: fewer reads and writes are fewer calls into the host.
const CHUNK: u64 = 64 * 1024;

struct UpperCase;

impl Edit for UpperCase {
    /// The length stays as it was, but only because these are capitals: a transformation in general changes it, and
    /// it is not known before the last byte.
    fn headers(&mut self, headers: &Fields) {
        headers.delete("content-length").expect("a header that may be changed");
    }

    fn body(&mut self, from: &InputStream, to: &OutputStream) -> Result<(), StreamError> {
        loop {
            match from.blocking_read(CHUNK) {
                Ok(mut chunk) => {
                    to_capitals(&mut chunk);
                    relay::write_all(to, &chunk)?;
                }
                Err(StreamError::Closed) => return to.blocking_flush(),
                Err(failed) => return Err(failed),
            }
        }
    }
}

/// With vectors the compiler takes sixteen letters at a time. Every host that runs components has them.
#[target_feature(enable = "simd128")]
fn to_capitals(text: &mut [u8]) {
    text.make_ascii_uppercase();
}

struct Plugin;

wasip2::http::proxy::export!(Plugin);

impl wasip2::exports::http::incoming_handler::Guest for Plugin {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        relay::exchange(request, out, UpperCase, UpperCase);
    }
}
