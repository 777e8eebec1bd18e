//! Asks a service whether a request may pass, and as whom.

use relay::{
    ErrorCode, Fields, Headers, IncomingRequest, IncomingResponse, OutgoingRequest,
    ResponseOutparam, Untouched,
};
use wasip2::http::{outgoing_handler, types::Scheme};

struct Plugin;

wasip2::http::proxy::export!(Plugin);

impl wasip2::exports::http::incoming_handler::Guest for Plugin {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        match check(&request) {
            Ok(verdict) if verdict.status() == 200 => {
                let user = verdict.headers().get("x-user");
                drop(verdict);
                let identify = Headers(|headers: &Fields| {
                    // Nobody but the service names the user: what the client sent goes, also when there is no name.
                    headers.set("x-user", &user).expect("a valid header that may be changed")
                });
                relay::exchange(request, out, identify, Untouched);
            }
            Ok(verdict) => refuse(out, verdict),
            Err(_) => relay::answer(out, 503, &[("content-type", b"text/plain")], |body| {
                relay::write_all(body, b"the auth service can't be reached\n")
            }),
        }
    }
}

/// Calls the service whose authority the configuration names, or else `auth`.
fn check(request: &IncomingRequest) -> Result<IncomingResponse, ErrorCode> {
    const VALID: &str = "a valid part of a request";
    let headers = Fields::new();
    for value in request.headers().get("authorization") {
        headers.append("authorization", &value).expect(VALID);
    }
    let authority = config::get("authority");
    let callout = OutgoingRequest::new(headers);
    callout.set_scheme(Some(&Scheme::Http)).expect(VALID);
    callout
        .set_authority(Some(authority.as_deref().unwrap_or("auth")))
        .map_err(|()| ErrorCode::ConfigurationError)?;
    callout.set_path_with_query(Some("/check")).expect(VALID);
    relay::response_of(outgoing_handler::handle(callout, None)?)
}

/// Answers with the service's status and body, and of its headers with the one that says what the body is.
fn refuse(out: ResponseOutparam, verdict: IncomingResponse) {
    let content_type = verdict.headers().get("content-type");
    let headers: Vec<(&str, &[u8])> =
        content_type.iter().map(|value| ("content-type", value.as_slice())).collect();
    let body = verdict.consume().expect("first call of consume");
    let from = body.stream().expect("first call of stream");
    relay::answer(out, verdict.status(), &headers, |to| relay::splice(&from, to));
}
