//! `/get?n` reads a key of `wasi:keyvalue` n times, `/set?n` writes it, `/increment?n` counts: for benchmarks.

use relay::{IncomingRequest, ResponseOutparam};

wit_bindgen::generate!({
    inline: "
        package test:data;
        world data {
            import wasi:keyvalue/store@0.2.0-draft;
            import wasi:keyvalue/atomics@0.2.0-draft;
        }",
    path: "../../../../wit",
    world: "test:data/data",
    generate_all,
});

use wasi::keyvalue::{atomics, store};

struct Guest;

wasip2::http::proxy::export!(Guest);

impl wasip2::exports::http::incoming_handler::Guest for Guest {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let (what, times) = path.split_once('?').unwrap_or((&path, "1"));
        let status = match repeat(what, times.parse().unwrap_or(1)) {
            Ok(()) => 200,
            Err(_) => 503,
        };
        relay::answer(out, status, &[], |_| Ok(()));
    }
}

fn repeat(what: &str, times: u32) -> Result<(), store::Error> {
    let bucket = store::open("")?;
    for _ in 0..times {
        match what {
            "/get" => drop(bucket.get("key")?),
            "/set" => bucket.set("key", b"a value of 32 bytes, as they are")?,
            _ => drop(atomics::increment(&bucket, "count", 1)?),
        }
    }
    Ok(())
}
