//! Sends an exchange on through the filter chain, edited on its way.
//!
//! A plugin that forwards differs from the next one only in what it changes, so the calls around that change live here once. They
//! are few on purpose: each is a call into the host.

use wasip2::http::outgoing_handler;
pub use wasip2::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingBody, IncomingRequest, IncomingResponse, Method,
    OutgoingBody, OutgoingRequest, OutgoingResponse, ResponseOutparam,
};
pub use wasip2::io::streams::{InputStream, OutputStream, StreamError};

/// What a plugin changes in one direction of an exchange. The defaults change nothing.
pub trait Edit {
    /// Edits a copy of the headers, before they are sent.
    fn headers(&mut self, _headers: &Fields) {}

    /// Moves the body from one stream to the other, until the first says it is closed. An error other than closed leaves the
    /// message unfinished, which the receiver can tell from a complete one.
    fn body(&mut self, from: &InputStream, to: &OutputStream) -> Result<(), StreamError> {
        splice(from, to)
    }

    /// Replaces the trailers, of which there may be none. What comes in is immutable: clone it to change it.
    fn trailers(&mut self, trailers: Option<Fields>) -> Option<Fields> {
        trailers
    }
}

/// Changes nothing.
pub struct Untouched;

impl Edit for Untouched {}

/// Changes the headers alone, by calling the function it holds.
pub struct Headers<F>(pub F);

impl<F: FnMut(&Fields)> Edit for Headers<F> {
    fn headers(&mut self, headers: &Fields) {
        (self.0)(headers)
    }
}

/// Forwards the request and answers with the response, or with the error, that comes back.
pub fn exchange(
    request: IncomingRequest,
    out: ResponseOutparam,
    mut request_edit: impl Edit,
    mut response_edit: impl Edit,
) {
    match forward(request, &mut request_edit) {
        Ok(response) => respond(out, response, &mut response_edit),
        Err(code) => ResponseOutparam::set(out, Err(code)),
    }
}

/// Sends the request down the chain, body and trailers included, and returns the response when its headers are there.
///
/// The request is sent to its end before the response is looked at.
pub fn forward(
    request: IncomingRequest,
    edit: &mut impl Edit,
) -> Result<IncomingResponse, ErrorCode> {
    let headers = request.headers().clone();
    edit.headers(&headers);
    let outgoing = OutgoingRequest::new(headers);
    let method = request.method();
    if !matches!(method, Method::Get) {
        outgoing.set_method(&method).expect("method of a request that arrived");
    }
    outgoing
        .set_path_with_query(request.path_with_query().as_deref())
        .expect("path of a request that arrived");
    outgoing
        .set_scheme(request.scheme().as_ref())
        .expect("scheme of a request that arrived");
    outgoing
        .set_authority(request.authority().as_deref())
        .expect("authority of a request that arrived");

    let to = outgoing.body().expect("first call of body");
    let response = outgoing_handler::handle(outgoing, None)?;
    relay(request.consume().expect("first call of consume"), to, edit);
    // Ends the request: a host that keeps its parts alive can let go of them.
    drop(request);

    response_of(response)
}

/// Waits for the headers of a response.
pub fn response_of(future: FutureIncomingResponse) -> Result<IncomingResponse, ErrorCode> {
    future.subscribe().block();
    future.get().expect("response is ready").expect("first call of get")
}

/// Answers with the response of the chain, body and trailers included.
pub fn respond(out: ResponseOutparam, response: IncomingResponse, edit: &mut impl Edit) {
    let headers = response.headers().clone();
    edit.headers(&headers);
    let outgoing = OutgoingResponse::new(headers);
    outgoing
        .set_status_code(response.status())
        .expect("status of a response that arrived");
    let to = outgoing.body().expect("first call of body");
    ResponseOutparam::set(out, Ok(outgoing));
    relay(response.consume().expect("first call of consume"), to, edit);
}

/// Answers with a response of the plugin's own.
pub fn answer(
    out: ResponseOutparam,
    status: u16,
    headers: &[(&str, &[u8])],
    body: impl FnOnce(&OutputStream) -> Result<(), StreamError>,
) {
    let fields = Fields::new();
    for (name, value) in headers {
        fields.append(name, value).expect("a valid header");
    }
    let response = OutgoingResponse::new(fields);
    response.set_status_code(status).expect("a valid status");
    let to = response.body().expect("first call of body");
    ResponseOutparam::set(out, Ok(response));
    let written = body(&to.write().expect("first call of write"));
    if written.is_ok() {
        let _ = OutgoingBody::finish(to, None);
    }
}

/// Writes everything, as fast as the receiver takes it.
pub fn write_all(to: &OutputStream, mut bytes: &[u8]) -> Result<(), StreamError> {
    while !bytes.is_empty() {
        let room = to.check_write()?.min(bytes.len() as u64) as usize;
        if room == 0 {
            to.subscribe().block();
            continue;
        }
        let (now, later) = bytes.split_at(room);
        to.write(now)?;
        bytes = later;
    }
    Ok(())
}

/// Hands over everything, without a byte of it entering this guest.
pub fn splice(from: &InputStream, to: &OutputStream) -> Result<(), StreamError> {
    loop {
        match to.blocking_splice(from, u64::MAX) {
            Ok(_) => {}
            Err(StreamError::Closed) => return Ok(()),
            Err(failed) => return Err(failed),
        }
    }
}

/// The path of a request, without its query.
pub fn path_of(request: &IncomingRequest) -> String {
    let mut path = request.path_with_query().unwrap_or_default();
    path.truncate(path.find('?').unwrap_or(path.len()));
    path
}

/// Waits for the trailers that follow a body.
pub fn trailers_of(body: IncomingBody) -> Result<Option<Fields>, ErrorCode> {
    let future = IncomingBody::finish(body);
    loop {
        match future.get() {
            Some(trailers) => return trailers.expect("first call of get"),
            None => future.subscribe().block(),
        }
    }
}

fn relay(from: IncomingBody, to: OutgoingBody, edit: &mut impl Edit) {
    let moved = {
        let input = from.stream().expect("first call of stream");
        let output = to.write().expect("first call of write");
        edit.body(&input, &output)
    };
    // A body that is dropped instead of finished is one the receiver knows to be cut short.
    if moved.is_err() {
        return;
    }
    if let Ok(trailers) = trailers_of(from) {
        // The receiver may have gone: there is nobody left to tell.
        let _ = OutgoingBody::finish(to, edit.trailers(trailers));
    }
}
