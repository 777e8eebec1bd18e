//! Reads the whole request, then answers with the length and the 64-bit FNV-1a sum of its body and its number of trailers.

use relay::{IncomingRequest, ResponseOutparam, StreamError};

struct Guest;

wasip2::http::proxy::export!(Guest);

impl wasip2::exports::http::incoming_handler::Guest for Guest {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let body = request.consume().expect("first call of consume");
        let (mut length, mut sum) = (0usize, 0xcbf2_9ce4_8422_2325_u64);
        let end = {
            let stream = body.stream().expect("first call of stream");
            loop {
                match stream.blocking_read(64 * 1024) {
                    Ok(chunk) => {
                        length += chunk.len();
                        for byte in chunk {
                            sum = (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
                        }
                    }
                    Err(end) => break end,
                }
            }
        };
        let end = match end {
            StreamError::Closed => "complete",
            StreamError::LastOperationFailed(_) => "broken off",
        };
        let trailers = match relay::trailers_of(body) {
            Ok(trailers) => trailers.map_or(0, |trailers| trailers.entries().len()),
            Err(_) => 0,
        };
        let report = format!("length {length}\nfnv1a {sum:016x}\ntrailers {trailers}\n{end}\n");
        relay::answer(out, 200, &[("content-type", b"text/plain")], |to| {
            relay::write_all(to, report.as_bytes())
        });
    }
}
