//! Counts the requests of each client, and answers those beyond its quota.
//!
//! It uses WASI only, and so runs under `wasmtime serve` too.

use relay::{Fields, Headers, IncomingRequest, ResponseOutparam, Untouched};

wit_bindgen::generate!({
    inline: "
        package examples:quota;
        world quota {
            import wasi:keyvalue/store@0.2.0-draft;
            import wasi:keyvalue/atomics@0.2.0-draft;
            import wasi:keyvalue/batch@0.2.0-draft;
        }",
    path: "../../../../wit",
    world: "examples:quota/quota",
    generate_all,
});

use wasi::keyvalue::{atomics, batch, store};

struct Plugin;

wasip2::http::proxy::export!(Plugin);

impl wasip2::exports::http::incoming_handler::Guest for Plugin {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let client = request.headers().get("x-client").pop().unwrap_or_default();
        let client = String::from_utf8_lossy(&client).into_owned();
        let limit: u64 = config::get("limit").and_then(|limit| limit.parse().ok()).unwrap_or(100);
        match count(&client) {
            Ok(n) if n > limit => relay::answer(out, 429, &[("content-type", b"text/plain")], |body| {
                relay::write_all(body, b"the quota is used up\n")
            }),
            Ok(n) => {
                let left = (limit - n).to_string();
                let tell = Headers(|headers: &Fields| {
                    headers.set("x-quota-left", &[left.clone().into()]).expect("a valid header that may be changed")
                });
                relay::exchange(request, out, Untouched, tell);
            }
            // Better to serve too many than none.
            Err(_) => relay::exchange(request, out, Untouched, Untouched),
        }
    }
}

/// Counts a request of a client, and notes who came last.
fn count(client: &str) -> Result<u64, store::Error> {
    let bucket = store::open("")?;
    let n = atomics::increment(&bucket, &format!("quota/{client}"), 1)?;
    batch::set_many(&bucket, &[("quota last".into(), client.into())])?;
    match bucket.get("quota last")? {
        Some(_) => Ok(n),
        None => Err(store::Error::Other("what was just written is gone".into())),
    }
}
