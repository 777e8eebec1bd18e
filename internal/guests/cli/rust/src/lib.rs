//! A component of another world: it runs as a command and handles no request.

struct Guest;

wasip2::cli::command::export!(Guest);

impl wasip2::exports::cli::run::Guest for Guest {
    fn run() -> Result<(), ()> {
        Ok(())
    }
}
