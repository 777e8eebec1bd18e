//! Uses every interface of the package http-proxy:plugin, one thing for each path, and answers with what came of it.

use relay::{IncomingBody, IncomingRequest, OutgoingBody, OutgoingRequest, ResponseOutparam, Untouched};

wit_bindgen::generate!({
    inline: "
        package test:services;
        world guest {
            include http-proxy:plugin/services@0.1.0;
            import http-proxy:plugin/callouts@0.1.0;
            include http-proxy:plugin/with-startup@0.1.0;
            include http-proxy:plugin/with-timers@0.1.0;
            include http-proxy:plugin/with-queues@0.1.0;
            include http-proxy:plugin/with-log@0.1.0;
        }",
    path: "../../../../wit",
    world: "test:services/guest",
    with: {
        "wasi:http/types@0.2.12": wasip2::http::types,
        "wasi:io/error@0.2.12": wasip2::io::error,
        "wasi:io/poll@0.2.12": wasip2::io::poll,
        "wasi:io/streams@0.2.12": wasip2::io::streams,
        "wasi:clocks/monotonic-clock@0.2.12": wasip2::clocks::monotonic_clock,
    },
    generate_all,
});

use exports::http_proxy::plugin::{exchange_log, queue_handler, startup, timer_handler};
use http_proxy::plugin::{
    callouts, dynamic_metadata, metrics, properties,
    queues::{Item, Queue},
    routing, shared_data, timers,
    types::Value,
};
use wasi::keyvalue::{atomics, batch, store};

struct Guest;

wasip2::http::proxy::export!(Guest);
export!(Guest);

const MILLISECOND: u64 = 1_000_000;

impl startup::Guest for Guest {
    fn start() -> Result<(), String> {
        match config::get("start").as_deref() {
            Some("refuse") => Err("the moon is full".into()),
            Some("trap") => panic!(),
            Some("loop") => loop {
                std::hint::black_box(());
            },
            Some(name) => {
                timers::set(name, MILLISECOND, Some(10 * MILLISECOND)).map_err(|e| format!("{e:?}"))?;
                Queue::open(name).and_then(|queue| queue.subscribe()).map_err(|e| format!("{e:?}"))
            }
            None => Ok(()),
        }
    }
}

impl timer_handler::Guest for Guest {
    fn on_timer(name: String) {
        metrics::count(&format!("timer_{name}"), 1).expect("a valid name");
        match name.as_str() {
            "trap" => panic!(),
            "loop" => loop {
                std::hint::black_box(());
            },
            "slow" => wasip2::clocks::monotonic_clock::subscribe_duration(50 * MILLISECOND).block(),
            "again" => timers::set("again", MILLISECOND, None).expect("not too many"),
            "call" => {
                let response = call("service", "POST", "/from-timer", b"tick");
                metrics::count(&format!("call_{response}"), 1).expect("a valid name");
            }
            "exchange" => {
                let request = OutgoingRequest::new(relay::Fields::new());
                let refused = wasip2::http::outgoing_handler::handle(request, None).is_err();
                let none = properties::set(&["a".into()], &Value::Boolean(true)).is_err()
                    && properties::get(&["request".into(), "path".into()]).is_none()
                    && !routing::clear_route_cache();
                metrics::count(if refused && none { "no_exchange" } else { "an_exchange" }, 1).expect("a valid name");
            }
            _ => {}
        }
    }
}

impl queue_handler::Guest for Guest {
    fn on_item(name: String) {
        let queue = Queue::open(&name).expect("a queue");
        while let Some(item) = queue.dequeue().expect("a queue") {
            let data = item.data();
            metrics::count(&format!("items_{name}"), 1).expect("a valid name");
            if data == b"trap" && metrics::counted(&format!("items_{name}")) < 2 {
                panic!();
            }
            keep(&name, &data);
            Item::acknowledge(item).expect("acknowledged");
        }
    }
}

impl exchange_log::Guest for Guest {
    fn on_log(exchange: exchange_log::Exchange) {
        let id = exchange.id;
        let told = properties::get(&["source".into(), "address".into()]);
        let own = properties::get(&["mine".into()]);
        let set = properties::set(&["mine".into()], &Value::Boolean(true));
        keep(&format!("log {id}"), format!("{exchange:?} {told:?} {own:?} {set:?}").as_bytes());
    }
}

fn keep(key: &str, value: &[u8]) {
    store::open("").expect("a bucket").set(key, value).expect("room");
}

impl wasip2::exports::http::incoming_handler::Guest for Guest {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let args: Vec<&str> = if query.is_empty() { Vec::new() } else { query.split(',').collect() };
        let Some(said) = act(path, &args) else {
            return relay::exchange(request, out, Untouched, Untouched);
        };
        relay::answer(out, 200, &[], |body| relay::write_all(body, said.as_bytes()));
    }
}

fn strings(path: &str) -> Vec<String> {
    path.split('.').map(Into::into).collect()
}

/// Does what a path stands for; none for the paths that are to be forwarded.
fn act(path: &str, args: &[&str]) -> Option<String> {
    let number = |i: usize| args[i].parse::<u64>().expect("a number");
    Some(match path {
        "/property" => args.iter().map(|path| format!("{:?}\n", properties::get(&strings(path)))).collect(),
        "/set-property" => format!("{:?}", properties::set(&strings(args[0]), &value(args[1], args[2]))),
        "/metadata" => format!("{:?}", dynamic_metadata::get(args[0], args[1])),
        "/set-metadata" => format!("{:?}", dynamic_metadata::set(args[0], args[1], &value(args[2], args[3]))),
        "/set-and-forward" => {
            properties::set(&strings("mine"), &Value::Text("kept".into())).expect("no error");
            dynamic_metadata::set("audit", "user", &Value::Json("{\"name\":[\"anna\",1]}".into())).expect("no error");
            assert!(routing::clear_route_cache());
            return None;
        }
        "/metrics" => format!(
            "{:?} {:?} {:?} {:?} {:?} {} {} {}",
            metrics::count("c", 3),
            metrics::gauge("g", -5),
            metrics::adjust("g", 2),
            metrics::observe("h", 7),
            (metrics::count("", 1), metrics::count(&"x".repeat(1025), 1)),
            metrics::counted("c"),
            metrics::gauged("g"),
            metrics::counted("never written"),
        ),
        "/timer" => format!("{:?}", timers::set(args[0], number(1) * MILLISECOND, args.get(2).map(|p| p.parse::<u64>().unwrap() * MILLISECOND))),
        "/cancel" => format!("{}", timers::cancel(args[0])),
        "/enqueue" => format!("{:?}", Queue::find(args[0], args[1]).and_then(|queue| queue.enqueue(args[2].as_bytes()))),
        "/open" => format!("{:?}", Queue::open(args[0]).map(|_| ())),
        "/subscribe" => format!("{:?}", Queue::open(args[0]).and_then(|queue| queue.subscribe())),
        "/subscribe-other" => format!("{:?}", Queue::find(args[0], args[1]).and_then(|queue| queue.subscribe())),
        "/dequeue" => queue_steps(args[0]),
        "/keyvalue" => keyvalue(args[0]),
        "/call" => call(args[0], args[1], args[2], args[3].as_bytes()),
        "/refused" => {
            let request = OutgoingRequest::new(relay::Fields::new());
            format!("{:?}", callouts::send(args[0], request, None).map(|_| ()).map_err(|e| e.to_string()))
        }
        "/flood-timers" => flood(|i| timers::set(&format!("flood {i}"), 1 << 60, None).map_err(|e| format!("{e:?}"))),
        "/flood-queues" => flood(|i| Queue::open(&format!("flood {i}")).and_then(|q| q.subscribe()).map_err(|e| format!("{e:?}"))),
        "/flood-metrics" => flood(|i| metrics::count(&format!("flood {i}"), 1).map_err(|e| format!("{e:?}"))),
        "/flood-properties" => flood(|i| properties::set(&[format!("flood {i}")], &Value::Text("x".repeat(1000))).map_err(|e| format!("{e:?}"))),
        "/flood-items" => {
            let queue = Queue::open("items").expect("a queue");
            let mut held = Vec::new();
            for _ in 0..2000 {
                queue.enqueue(b"x").expect("room");
                held.push(queue.dequeue().expect("a queue"));
            }
            "unreached".into()
        }
        "/leak" => {
            let queue = Queue::open("leak").expect("a queue");
            queue.enqueue(b"leaked").expect("room");
            std::mem::forget(queue.dequeue().expect("a queue").expect("an item"));
            for _ in 0..100 {
                std::mem::forget(Queue::open("leak"));
                std::mem::forget(store::open(""));
            }
            "leaked".into()
        }
        "/long-names" => {
            let long = "n".repeat(1 << 20);
            format!(
                "{:?} {:?} {:?} {:?} {:?} {} {:?}",
                timers::set(&long, 1, None).is_err(),
                Queue::open(&long).map(|_| ()),
                store::open("").and_then(|b| b.set(&long, b"")).is_err(),
                metrics::count(&long, 1),
                properties::get(&[long.clone()]),
                timers::cancel(&long),
                properties::set(&[long.clone()], &Value::Boolean(true)),
            )
        }
        _ => return None,
    })
}

fn value(kind: &str, text: &str) -> Value {
    match kind {
        "boolean" => Value::Boolean(text == "true"),
        "integer" => Value::Integer(text.parse().expect("an integer")),
        "number" => Value::Number(text.parse().expect("a number")),
        "bytes" => Value::Bytes(text.into()),
        "time" => Value::Time(text.parse().expect("a time")),
        "span" => Value::Span(text.parse().expect("a span")),
        "json" => Value::Json(text.replace(';', ",")),
        _ => Value::Text(text.into()),
    }
}

/// What a function says that is called with 0, 1, ... until it fails, a million times at most.
fn flood(call: impl Fn(u32) -> Result<(), String>) -> String {
    for i in 0..1_000_000 {
        if let Err(error) = call(i) {
            return format!("{i} {error}");
        }
    }
    "no limit".into()
}

fn queue_steps(name: &str) -> String {
    let take = |queue: &Queue| queue.dequeue().map(|i| i.map(|i| (String::from_utf8(i.data()).expect("text"), i)));
    let queue = Queue::open(name).expect("a queue");
    for data in ["one", "two"] {
        queue.enqueue(data.as_bytes()).expect("room");
    }
    let mut said = String::new();
    let (first, item) = take(&queue).expect("a queue").expect("an item");
    drop(item); // it goes back
    let (again, item) = take(&queue).expect("a queue").expect("an item");
    said += &format!("{first} {again} {:?}", Item::acknowledge(item));
    let (second, item) = take(&queue).expect("a queue").expect("an item");
    said += &format!(" {second} {:?} {}", Item::acknowledge(item), take(&queue).expect("a queue").is_none());
    said
}

fn keyvalue(prefix: &str) -> String {
    let key = |name: &str| format!("{prefix} {name}");
    let bucket = store::open("").expect("a bucket");
    let mut said = format!("{:?}", store::open("other").err());
    bucket.set(&key("a"), b"1").expect("room");
    said += &format!(" {:?} {:?} {:?}", bucket.get(&key("a")), bucket.get(&key("b")), bucket.exists(&key("a")));
    said += &format!(" {:?} {:?}", atomics::increment(&bucket, &key("a"), 41), atomics::increment(&bucket, &key("n"), 2));
    batch::set_many(&bucket, &[(key("x"), b"X".to_vec()), (key("y"), b"Y".to_vec())]).expect("room");
    let many = batch::get_many(&bucket, &[key("y"), key("z"), key("x")]).expect("no error");
    said += &format!(" {:?}", many.into_iter().map(|p| p.map(|(_, v)| String::from_utf8(v).unwrap())).collect::<Vec<_>>());
    batch::delete_many(&bucket, &[key("x"), key("z")]).expect("no error");
    bucket.delete(&key("n")).expect("no error");
    let keys = bucket.list_keys(None).expect("no error").keys.into_iter().filter(|k| k.starts_with(prefix)).count();
    said += &format!(" {keys}");

    let entry = shared_data::read(&bucket, &key("a")).expect("no error").expect("a value");
    said += &format!(" {:?}", shared_data::swap(&bucket, &key("a"), b"new", Some(entry.revision)));
    said += &format!(" {:?}", shared_data::swap(&bucket, &key("a"), b"late", Some(entry.revision)));
    said += &format!(" {:?}", shared_data::swap(&bucket, &key("a"), b"first", None));
    said += &format!(" {:?}", shared_data::swap(&bucket, &key("fresh"), b"first", None));
    let brief = shared_data::expiring(20 * MILLISECOND).expect("a bucket");
    brief.set(&key("brief"), b"x").expect("room");
    said += &format!(" {:?}", bucket.exists(&key("brief")));
    wasip2::clocks::monotonic_clock::subscribe_duration(30 * MILLISECOND).block();
    said + &format!(" {:?} {:?}", bucket.exists(&key("brief")), shared_data::expiring(5).is_err())
}

/// Calls a cluster with a body that is sent in pieces, and says what came back: status, body and trailers.
fn call(cluster: &str, method: &str, path: &str, body: &[u8]) -> String {
    let headers = relay::Fields::new();
    if path.starts_with("/grpc.") {
        headers.set("content-type", &[b"application/grpc".to_vec()]).expect("a valid header");
    }
    let request = OutgoingRequest::new(headers);
    request.set_method(&relay::Method::Other(method.into())).expect("a valid method");
    request.set_path_with_query(Some(path)).expect("a valid path");
    let to = request.body().expect("first call of body");
    let future = match callouts::send(cluster, request, None) {
        Ok(future) => future,
        Err(error) => return format!("{error:?}"),
    };
    let stream = to.write().expect("first call of write");
    for piece in body.chunks(2) {
        relay::write_all(&stream, piece).expect("a service that reads");
    }
    drop(stream);
    OutgoingBody::finish(to, None).expect("finished");
    let response = match relay::response_of(future) {
        Ok(response) => response,
        Err(error) => return format!("{error:?}"),
    };
    let mut said = response.status().to_string();
    let from: IncomingBody = response.consume().expect("first call of consume");
    {
        let stream = from.stream().expect("first call of stream");
        while let Ok(bytes) = stream.blocking_read(1 << 16) {
            said += &format!("_{}", String::from_utf8_lossy(&bytes).trim_end());
        }
    }
    if let Ok(Some(trailers)) = relay::trailers_of(from) {
        for (name, value) in trailers.entries() {
            said += &format!("_{name}:{}", String::from_utf8_lossy(&value));
        }
    }
    said
}
