//! Forwards both directions at the same time, the way a conversation between client and upstream needs it: it waits for whatever
//! is ready first among several pollables, and reads, writes and asks without blocking.

use relay::{
    ErrorCode, FutureIncomingResponse, IncomingBody, IncomingRequest, IncomingResponse, InputStream,
    OutgoingBody, OutgoingRequest, OutgoingResponse, OutputStream, ResponseOutparam, StreamError,
};
use wasip2::http::outgoing_handler;
use wasip2::io::poll::{poll, Pollable};

struct Guest;

wasip2::http::proxy::export!(Guest);

impl wasip2::exports::http::incoming_handler::Guest for Guest {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        if let Err((out, code)) = converse(request, out) {
            ResponseOutparam::set(out, Err(code));
        }
    }
}

fn converse(
    request: IncomingRequest,
    out: ResponseOutparam,
) -> Result<(), (ResponseOutparam, ErrorCode)> {
    let (outgoing, to) = copy_of(&request);
    let future = match outgoing_handler::handle(outgoing, None) {
        Ok(future) => future,
        Err(code) => return Err((out, code)),
    };
    let mut up = Some(Flow::new(request.consume().expect("first call of consume"), to));
    let response = loop {
        if let Some(response) = arrived(&future) {
            break response;
        }
        let mut pollables = vec![future.subscribe()];
        if let Some(flow) = &up {
            pollables.push(flow.subscribe());
        }
        poll(&pollables.iter().collect::<Vec<_>>());
        drop(pollables);
        up = up.and_then(Flow::step);
    };
    let response = match response {
        Ok(response) => response,
        Err(code) => return Err((out, code)),
    };
    let mut down = Some(Flow::new(response.consume().expect("first call of consume"), answer(out, &response)));
    while up.is_some() || down.is_some() {
        let pollables: Vec<Pollable> = [&up, &down].into_iter().flatten().map(Flow::subscribe).collect();
        poll(&pollables.iter().collect::<Vec<_>>());
        drop(pollables);
        up = up.and_then(Flow::step);
        down = down.and_then(Flow::step);
    }
    Ok(())
}

fn arrived(future: &FutureIncomingResponse) -> Option<Result<IncomingResponse, ErrorCode>> {
    future.get().map(|response| response.expect("first call of get that is ready"))
}

/// One direction's body on its way, as far as it came.
struct Flow {
    // Children before their parents: fields are dropped in this order.
    input: InputStream,
    output: OutputStream,
    from: IncomingBody,
    to: OutgoingBody,
    pending: Vec<u8>,
}

impl Flow {
    fn new(from: IncomingBody, to: OutgoingBody) -> Flow {
        let input = from.stream().expect("first call of stream");
        let output = to.write().expect("first call of write");
        Flow { input, output, from, to, pending: Vec::new() }
    }

    /// What this direction waits for now: bytes to send, or room for those it has.
    fn subscribe(&self) -> Pollable {
        if self.pending.is_empty() {
            self.input.subscribe()
        } else {
            self.output.subscribe()
        }
    }

    /// Moves what can be moved without waiting. None at the end of the body, when its trailers are sent as well.
    fn step(mut self) -> Option<Flow> {
        match self.shift() {
            Ok(()) => return Some(self),
            Err(StreamError::LastOperationFailed(_)) => return None,
            Err(StreamError::Closed) if !self.pending.is_empty() => return None,
            Err(StreamError::Closed) => {}
        }
        let Flow { input, output, from, to, .. } = self;
        drop((input, output));
        if let Ok(trailers) = relay::trailers_of(from) {
            let _ = OutgoingBody::finish(to, trailers);
        }
        None
    }

    fn shift(&mut self) -> Result<(), StreamError> {
        if self.pending.is_empty() {
            self.pending = self.input.read(64 * 1024)?;
        }
        let room = self.output.check_write()?.min(self.pending.len() as u64) as usize;
        if room > 0 {
            self.output.write(&self.pending[..room])?;
            self.pending.drain(..room);
            self.output.flush()?;
        }
        Ok(())
    }
}

fn copy_of(request: &IncomingRequest) -> (OutgoingRequest, OutgoingBody) {
    const VALID: &str = "part of a request that arrived";
    let copy = OutgoingRequest::new(request.headers().clone());
    copy.set_method(&request.method()).expect(VALID);
    copy.set_path_with_query(request.path_with_query().as_deref()).expect(VALID);
    copy.set_scheme(request.scheme().as_ref()).expect(VALID);
    copy.set_authority(request.authority().as_deref()).expect(VALID);
    let body = copy.body().expect("first call of body");
    (copy, body)
}

fn answer(out: ResponseOutparam, response: &IncomingResponse) -> OutgoingBody {
    let copy = OutgoingResponse::new(response.headers().clone());
    copy.set_status_code(response.status()).expect("status of a response that arrived");
    let body = copy.body().expect("first call of body");
    ResponseOutparam::set(out, Ok(copy));
    body
}
