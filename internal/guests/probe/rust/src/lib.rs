//! Answers with what it finds of the system around it, one finding a line. It uses the standard library where that has the
//! function, as programs ported from elsewhere do.

use relay::{IncomingRequest, ResponseOutparam};
use std::fmt::Write;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use wasip2::{filesystem::preopens, random};

struct Guest;

wasip2::http::proxy::export!(Guest);

impl wasip2::exports::http::incoming_handler::Guest for Guest {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        println!("a line to stdout");
        eprintln!("a line to stderr");
        let mut report = String::new();
        describe(&mut report).expect("a string takes everything");
        relay::answer(out, 200, &[("content-type", b"text/plain")], |to| {
            relay::write_all(to, report.as_bytes())
        });
    }
}

fn describe(report: &mut String) -> std::fmt::Result {
    for (name, value) in std::env::vars() {
        writeln!(report, "environment {name}={value}")?;
    }
    writeln!(report, "arguments {}", std::env::args().count())?;
    writeln!(report, "preopens {}", preopens::get_directories().len())?;
    writeln!(report, "open {}", verdict(std::fs::File::open("/etc/passwd").is_ok(), "a file", "denied"))?;
    writeln!(report, "monotonic {}", verdict(clock_advances(), "forward", "stuck"))?;
    writeln!(report, "wall {}", unix_time().as_secs())?;
    writeln!(report, "random {}", verdict(random_differs(), "differs", "repeats"))?;
    for (key, value) in config::all() {
        writeln!(report, "config {key}={value}")?;
    }
    Ok(())
}

fn verdict<'a>(yes: bool, then: &'a str, otherwise: &'a str) -> &'a str {
    if yes {
        then
    } else {
        otherwise
    }
}

fn clock_advances() -> bool {
    let start = Instant::now();
    std::thread::sleep(Duration::from_millis(1));
    start.elapsed() >= Duration::from_millis(1)
}

fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn random_differs() -> bool {
    random::random::get_random_bytes(16) != random::random::get_random_bytes(16)
}
