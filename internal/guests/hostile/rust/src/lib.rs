//! Does what hosts must withstand or refuse, one thing for each path, and answers with what came of it.

use relay::{
    ErrorCode, Fields, IncomingBody, IncomingRequest, OutgoingBody, OutgoingRequest, OutgoingResponse, OutputStream, ResponseOutparam, StreamError,
};
use std::fmt::Write;
use wasip2::{
    cli::{exit::exit, stdout},
    clocks::monotonic_clock,
    http::{
        outgoing_handler,
        types::{RequestOptions, Scheme},
    },
    io::poll::poll,
    random::random::get_random_bytes,
};

struct Guest;

wasip2::http::proxy::export!(Guest);

impl wasip2::exports::http::incoming_handler::Guest for Guest {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = relay::path_of(&request);
        match path.as_str() {
            "/many-fields" => {
                let fields = Fields::new();
                for _ in 0..32_768 {
                    fields.append("a", b"").expect("not too many yet");
                }
                line("32768 fields");
                let _ = fields.append("a", b"");
                say(out, "unreached");
            }
            "/large-field" => {
                let _ = Fields::new().append("a", &[b'x'; 128 * 1024]);
                say(out, "unreached");
            }
            "/many-lists" => {
                let mut all = Vec::new();
                let fields = Fields::new();
                fields.append("a", &[b'x'; 100_000]).expect("a large field");
                loop {
                    all.push(fields.clone());
                    all.last().expect("one").append("b", b"c").expect("a small field");
                }
            }
            "/syntax" => say(out, &syntax(&request)),
            "/drop-twice" => {
                let handle = std::mem::ManuallyDrop::new(Fields::new()).take_handle();
                for _ in 0..2 {
                    drop(unsafe { Fields::from_handle(handle) });
                }
                say(out, "unreached");
            }
            "/drop-parent" => {
                let body = request.consume().expect("first call of consume");
                let stream = body.stream().expect("first call of stream");
                drop(body);
                drop(stream);
                say(out, "unreached");
            }
            "/finish-parent" => {
                let body = request.consume().expect("first call of consume");
                let _stream = body.stream().expect("first call of stream");
                relay::IncomingBody::finish(body);
                say(out, "unreached");
            }
            "/handle-twice" => {
                let mut report = String::new();
                for _ in 0..2 {
                    let outgoing = OutgoingRequest::new(Fields::new());
                    outgoing.set_authority(Some("example.com")).expect("an authority");
                    match outgoing_handler::handle(outgoing, None) {
                        Ok(_) => report.push_str("sent\n"),
                        Err(code) => writeln!(report, "{code:?}").expect("a string takes everything"),
                    }
                }
                say(out, &report);
            }
            "/log-storm" => {
                let stdout = stdout::get_stdout();
                for n in 0..1_000_000 {
                    let _ = stdout.write(format!("line {n}\n").as_bytes());
                }
                say(out, "logged");
            }
            "/long-line" => {
                let _ = stdout::get_stdout().write(&[b'x'; 100_000]);
                say(out, "logged");
            }
            "/random" => {
                get_random_bytes(1 << 32);
                say(out, "unreached");
            }
            "/pollables" => {
                let all: Vec<_> = (0..1_000_000).map(|_| monotonic_clock::subscribe_duration(0)).collect();
                say(out, &format!("{}", all.len()));
            }
            "/poll-nothing" => {
                poll(&[]);
                say(out, "unreached");
            }
            "/sleep" => {
                let start = monotonic_clock::now();
                let (long, short) = (monotonic_clock::subscribe_duration(u64::MAX), monotonic_clock::subscribe_duration(20_000_000));
                let ready = poll(&[&long, &short]);
                let slept = monotonic_clock::now() - start;
                say(out, &format!("{ready:?} {}", if slept < 20_000_000 { "too early" } else { "in time" }));
            }
            "/sleep-forever" => {
                monotonic_clock::subscribe_duration(3_600_000_000_000).block();
                say(out, "unreached");
            }
            "/short" => declared(out, b"10", &[b"hello"]),
            "/long" => declared(out, b"3", &[b"hel", b"lo"]),
            "/exact" => declared(out, b"5", &[b"hel", b"lo"]),
            "/over-budget" => {
                let (_body, stream) = answer(out, Fields::new());
                let room = stream.check_write().expect("an open stream") as usize;
                let _ = stream.write(&vec![b'x'; room + 1]);
            }
            "/blocking-over" => {
                let (_body, stream) = answer(out, Fields::new());
                let _ = stream.blocking_write_and_flush(&[b'x'; 4097]);
            }
            "/unsent" => {
                let response = OutgoingResponse::new(Fields::new());
                let body = response.body().expect("first call of body");
                let stream = body.write().expect("first call of write");
                loop {
                    let _ = stream.blocking_write_and_flush(&[b'x'; 4096]);
                }
            }
            "/unfinished" => {
                let (body, stream) = answer(out, Fields::new());
                let _ = stream.blocking_write_and_flush(b"half");
                drop(stream);
                drop(body);
            }
            "/silent" => drop(out),
            "/error" => ResponseOutparam::set(out, Err(ErrorCode::HttpRequestDenied)),
            "/error-text" => ResponseOutparam::set(out, Err(ErrorCode::InternalError(Some("no reason".into())))),
            "/exit-after" => {
                say(out, "complete");
                exit(Err(()));
            }
            "/trap-after" => {
                say(out, "complete");
                unreachable!();
            }
            "/left-behind" | "/left-short" => {
                let fields = Fields::new();
                if path == "/left-short" {
                    fields.append("content-length", b"5").expect("a length");
                }
                let (body, stream) = answer(out, fields);
                let _ = stream.blocking_write_and_flush(b"left");
                std::mem::forget(stream);
                std::mem::forget(body);
            }
            "/wait-first" => wait_first(request, out),
            "/ask-first" | "/ask-first-trail" => ask_first(request, out, b""),
            "/ask-between" => ask_first(request, out, b"early"),
            "/first-byte" => first_byte(request, out),
            "/te" => {
                let fields = Fields::new();
                fields.append("te", b"trailers").expect("a valid header");
                let outgoing = OutgoingRequest::new(fields);
                outgoing.set_path_with_query(Some("")).expect("an empty path");
                let response = relay::response_of(outgoing_handler::handle(outgoing, None).expect("sent")).expect("a response");
                say(out, &format!("{}", response.status()));
            }
            "/read-nothing" => {
                let body = request.consume().expect("first call of consume");
                let stream = body.stream().expect("first call of stream");
                let mut report = format!("{:?}", stream.read(0));
                while stream.blocking_read(1 << 20).is_ok() {}
                write!(report, " {:?} {:?}", stream.read(0), stream.blocking_read(0)).expect("a string takes everything");
                say(out, &report);
            }
            "/leak" => {
                for _ in 0..100 {
                    std::mem::forget(Fields::new());
                    std::mem::forget(monotonic_clock::subscribe_duration(0));
                }
                std::mem::forget(request.headers());
                say(out, "leaked");
            }
            "/spin" => spin(request, out),
            "/echo" => echo(request, out, b""),
            "/footer" => echo(request, out, b"footer"),
            "/forward-footer" => forward_footer(request, out),
            "/forward-unfinished" => forward_unfinished(request, out),
            "/forward-trailers" => forward_trailers(request, out),
            "/no-body" => {
                // Made anew, with nothing of what came.
                let fields = Fields::new();
                fields.append("x-new", b"1").expect("a valid header");
                let outgoing = OutgoingRequest::new(fields);
                let response = relay::response_of(outgoing_handler::handle(outgoing, None).expect("sent")).expect("a response");
                say(out, &format!("{}", response.status()));
            }
            "/callout" => callout(request, out),
            _ => relay::exchange(request, out, relay::Untouched, relay::Untouched),
        }
    }
}

fn line(text: &str) {
    let stdout = stdout::get_stdout();
    for part in [text, "\n"] {
        let _ = stdout.write(part.as_bytes());
    }
}

fn say(out: ResponseOutparam, text: &str) {
    relay::answer(out, 200, &[], |to| relay::write_all(to, text.as_bytes()));
}

fn answer(out: ResponseOutparam, fields: Fields) -> (OutgoingBody, OutputStream) {
    let response = OutgoingResponse::new(fields);
    let body = response.body().expect("first call of body");
    let stream = body.write().expect("first call of write");
    ResponseOutparam::set(out, Ok(response));
    (body, stream)
}

fn syntax(request: &IncomingRequest) -> String {
    let mut report = String::new();
    let fields = Fields::new();
    for (name, value) in [
        ("", &b"v"[..]), (":path", b"/"), ("a b", b"v"), ("a\n", b"v"), ("\u{e4}", b"v"),
        ("a", b"\0"), ("a", b"x\r\ny"), ("a", b"\x7f"), ("content-length", b"+5"), ("content-length", b""), ("Content-Length", b"5x"),
        ("connection", b"close"), ("Host", b"x"), ("transfer-encoding", b"chunked"), ("te", b"trailers"), ("upgrade", b"h2c"),
        ("a", b""), ("A", b" \t\x80\xff"), ("content-length", b"5"),
    ] {
        let shown = String::from_utf8_lossy(value);
        writeln!(report, "{name:?} {shown:?}: {:?}", fields.append(name, value)).expect("a string takes everything");
    }
    writeln!(report, "{:?}", fields.entries()).expect("a string takes everything");
    writeln!(report, "{:?} {}", fields.get("a").len(), fields.has("a b")).expect("a string takes everything");
    writeln!(report, "{:?}", Fields::from_list(&[("a".into(), b"1".to_vec()), ("host".into(), b"x".to_vec())]).err()).expect("a string takes everything");
    let received = request.headers();
    writeln!(report, "{:?} {:?}", received.set("a", &[]), received.delete("a")).expect("a string takes everything");
    let outgoing = OutgoingRequest::new(fields);
    writeln!(report, "{:?}", outgoing.headers().append("a", b"v")).expect("a string takes everything");
    for path in ["/a?b", "*", "", "a", "/a b", "/a#b"] {
        writeln!(report, "path {path:?}: {:?}", outgoing.set_path_with_query(Some(path))).expect("a string takes everything");
    }
    for authority in ["a", "a:80", "[::1]:80", "a:", "a:b", "a:65536", "a b", "u@a", ""] {
        writeln!(report, "authority {authority:?}: {:?}", outgoing.set_authority(Some(authority))).expect("a string takes everything");
    }
    report
}

fn declared(out: ResponseOutparam, length: &[u8], chunks: &[&[u8]]) {
    let fields = Fields::new();
    fields.append("content-length", length).expect("a length");
    let (body, stream) = answer(out, fields);
    for chunk in chunks {
        match stream.blocking_write_and_flush(chunk) {
            Ok(()) => line(&format!("wrote {}, may write more: {:?}", chunk.len(), stream.check_write().map(|n| n > 0))),
            Err(StreamError::Closed) => line("closed"),
            Err(StreamError::LastOperationFailed(error)) => {
                line(&format!("{:?}", wasip2::http::types::http_error_code(&error)))
            }
        }
    }
    drop(stream);
    line(&format!("finished: {:?}", OutgoingBody::finish(body, None)));
}

/// Asks for the body again and again without ever waiting.
fn spin(request: IncomingRequest, out: ResponseOutparam) {
    let body = request.consume().expect("first call of consume");
    let mut length = 0;
    {
        let stream = body.stream().expect("first call of stream");
        while let Ok(chunk) = stream.read(1 << 20) {
            length += chunk.len();
        }
    }
    say(out, &format!("{length}"));
}

/// Answers with the request's own body, and more.
fn echo(request: IncomingRequest, out: ResponseOutparam, more: &[u8]) {
    let from = request.consume().expect("first call of consume");
    let (body, stream) = answer(out, Fields::new());
    {
        let input = from.stream().expect("first call of stream");
        relay::splice(&input, &stream).expect("a body that can be moved");
        if !more.is_empty() {
            relay::write_all(&stream, more).expect("a body that can be written");
        }
    }
    drop(stream);
    let trailers = relay::trailers_of(from).expect("a complete body");
    let _ = OutgoingBody::finish(body, trailers);
}

fn copy(request: &IncomingRequest) -> (OutgoingRequest, OutgoingBody, OutputStream) {
    let outgoing = OutgoingRequest::new(request.headers().clone());
    outgoing.set_method(&request.method()).expect("a method");
    let body = outgoing.body().expect("first call of body");
    let stream = body.write().expect("first call of write");
    (outgoing, body, stream)
}

/// Adds to a body that was handed on as a whole.
fn forward_footer(request: IncomingRequest, out: ResponseOutparam) {
    let (outgoing, body, stream) = copy(&request);
    let future = outgoing_handler::handle(outgoing, None).expect("sent");
    let from = request.consume().expect("first call of consume");
    {
        let input = from.stream().expect("first call of stream");
        relay::splice(&input, &stream).expect("a body that can be moved");
    }
    relay::write_all(&stream, b"footer").expect("a body that can be written");
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
    let response = relay::response_of(future).expect("a response");
    relay::respond(out, response, &mut relay::Untouched);
}

/// Waits for the bodies' first bytes before it hands them on as they are.
fn wait_first(request: IncomingRequest, out: ResponseOutparam) {
    let (outgoing, body, stream) = copy(&request);
    let future = outgoing_handler::handle(outgoing, None).expect("sent");
    hand_on(request.consume().expect("first call of consume"), body, stream);
    let response = relay::response_of(future).expect("a response");
    let from = response.consume().expect("first call of consume");
    let (body, stream) = answer(out, response.headers().clone());
    hand_on(from, body, stream);
}

fn hand_on(from: IncomingBody, body: OutgoingBody, stream: OutputStream) {
    {
        let input = from.stream().expect("first call of stream");
        input.subscribe().block();
        relay::splice(&input, &stream).expect("a body that can be moved");
    }
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
}

/// Waits for the response before it finishes the request.
fn ask_first(request: IncomingRequest, out: ResponseOutparam, early: &[u8]) {
    let (outgoing, body, stream) = copy(&request);
    let future = outgoing_handler::handle(outgoing, None).expect("sent");
    if !early.is_empty() {
        relay::write_all(&stream, early).expect("a body that can be written");
    }
    let response = relay::response_of(future).expect("a response");
    let path = request.path_with_query().unwrap_or_default();
    if path.ends_with("?late") {
        relay::write_all(&stream, b"late").expect("a body that can be written");
    }
    drop(stream);
    let trailers = path.ends_with("-trail").then(|| {
        let trailers = Fields::new();
        trailers.append("x-t", b"1").expect("a valid header");
        trailers
    });
    let finished = OutgoingBody::finish(body, trailers);
    say(out, &format!("{} {finished:?}", response.status()));
}

/// Waits for the response for 20 ms.
fn first_byte(request: IncomingRequest, out: ResponseOutparam) {
    let (outgoing, body, stream) = copy(&request);
    let options = RequestOptions::new();
    options.set_first_byte_timeout(Some(20_000_000)).expect("an option that is known");
    let future = outgoing_handler::handle(outgoing, Some(options)).expect("sent");
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
    let response = relay::response_of(future);
    say(out, &format!("{:?}", response.map(|response| response.status())));
}

/// Hands the body on before it sends the request, looks at the trailers, and finishes without them.
fn forward_trailers(request: IncomingRequest, out: ResponseOutparam) {
    let (outgoing, body, stream) = copy(&request);
    let from = request.consume().expect("first call of consume");
    {
        let input = from.stream().expect("first call of stream");
        relay::splice(&input, &stream).expect("a body that can be moved");
    }
    drop(stream);
    let trailers = relay::trailers_of(from).expect("a complete body");
    let count = trailers.map_or(0, |trailers| trailers.entries().len());
    let future = outgoing_handler::handle(outgoing, None).expect("sent");
    let _ = OutgoingBody::finish(body, None);
    let response = relay::response_of(future).expect("a response");
    drop(response);
    say(out, &format!("{count}"));
}

/// Breaks the request off.
fn forward_unfinished(request: IncomingRequest, out: ResponseOutparam) {
    let (outgoing, body, stream) = copy(&request);
    let future = outgoing_handler::handle(outgoing, None).expect("sent");
    drop(stream);
    drop(body);
    say(out, &format!("{:?}", relay::response_of(future).err()));
}

/// Sends the request's body to a service, and answers with what it says.
fn callout(request: IncomingRequest, out: ResponseOutparam) {
    let outgoing = OutgoingRequest::new(Fields::new());
    outgoing.set_method(&request.method()).expect("a method");
    outgoing.set_scheme(Some(&Scheme::Http)).expect("a scheme");
    outgoing.set_authority(Some("service")).expect("an authority");
    outgoing.set_path_with_query(Some("/a%2Fb?c=d")).expect("a path");
    let body = outgoing.body().expect("first call of body");
    let stream = body.write().expect("first call of write");
    let future = outgoing_handler::handle(outgoing, None).expect("sent");
    let from = request.consume().expect("first call of consume");
    {
        let input = from.stream().expect("first call of stream");
        relay::splice(&input, &stream).expect("a body that can be moved");
    }
    drop(stream);
    let _ = OutgoingBody::finish(body, relay::trailers_of(from).expect("a complete body"));
    match relay::response_of(future) {
        Ok(response) => relay::respond(out, response, &mut relay::Untouched),
        Err(code) => ResponseOutparam::set(out, Err(code)),
    }
}
