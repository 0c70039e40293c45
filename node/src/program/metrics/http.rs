//! HTTP/1.1 (RFC 9112), as much as a collector of metrics needs (core).
//!
//! - *Inputs*: the bytes of a request, in pieces of any size.
//! - *Outputs*: what was asked for, or why it is refused; responses as text.
//! - *Not handled*: bodies, pipelining, connections that stay open. Every response says `close`.

use super::MAX_HEAD;
use super::page::Format;

const PATH: &str = "/metrics";

/// A request that is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// The head of the response alone.
    pub(super) head_only: bool,
    pub(super) format: Format,
}

/// Why a request is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Malformed,
    NotFound,
    Method,
    Late,
    TooLarge,
}

/// The head of a request, as far as it came.
#[derive(Debug, Default)]
pub(super) struct Head {
    bytes: Vec<u8>,
}

impl Head {
    /// Takes the next bytes, and says what was asked for once all of the head is there.
    pub(super) fn handle_bytes(&mut self, bytes: &[u8]) -> Option<Result<Asked, Refusal>> {
        // The end may lie across the border of two pieces.
        let from = self.bytes.len().saturating_sub(3);
        let room = MAX_HEAD - self.bytes.len();
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if let Some(end) = self.bytes[from..].windows(4).position(|four| four == b"\r\n\r\n") {
            let text = std::str::from_utf8(&self.bytes[..from + end]);
            return Some(text.map_err(|_| Refusal::Malformed).and_then(parse));
        }
        (self.bytes.len() == MAX_HEAD).then_some(Err(Refusal::TooLarge))
    }
}

fn parse(head: &str) -> Result<Asked, Refusal> {
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Refusal::Malformed);
    };
    let is_method = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase());
    if !is_method || !matches!(version, "HTTP/1.0" | "HTTP/1.1") {
        return Err(Refusal::Malformed);
    }
    if path(target) != PATH {
        return Err(Refusal::NotFound);
    }
    let head_only = match method {
        "GET" => false,
        "HEAD" => true,
        _ => return Err(Refusal::Method),
    };
    Ok(Asked { head_only, format: format(lines) })
}

/// The path of a target in origin form or absolute form (RFC 9112 §3.2), without the query.
fn path(target: &str) -> &str {
    let origin = match target.strip_prefix("http://") {
        Some(rest) => rest.find('/').map_or("", |slash| &rest[slash..]),
        None => target,
    };
    origin.split('?').next().unwrap_or_default()
}

/// The older format goes to those who take text and do not take OpenMetrics.
fn format<'a>(fields: impl Iterator<Item = &'a str>) -> Format {
    let accepted: Vec<String> = fields
        .filter_map(|field| field.split_once(':'))
        .filter(|(name, _)| name.eq_ignore_ascii_case("accept"))
        .map(|(_, value)| value.to_ascii_lowercase())
        .collect();
    let takes = |kind| accepted.iter().any(|value| value.contains(kind));
    if takes("text/plain") && !takes("application/openmetrics-text") {
        Format::Prometheus
    } else {
        Format::OpenMetrics
    }
}

/// The response to a request that is answered.
pub(super) fn response(asked: &Asked, content_type: &str, page: &str) -> String {
    let head = head("200 OK", content_type, page.len(), "");
    if asked.head_only { head } else { head + page }
}

impl Refusal {
    pub(super) fn response(self) -> String {
        let (status, more, text) = match self {
            Self::Malformed => ("400 Bad Request", "", "this is no HTTP/1.1 request\n"),
            Self::NotFound => ("404 Not Found", "", "the metrics are at /metrics\n"),
            Self::Method => ("405 Method Not Allowed", "Allow: GET, HEAD\r\n", "only reading\n"),
            Self::Late => ("408 Request Timeout", "", "the request took too long\n"),
            Self::TooLarge => {
                ("431 Request Header Fields Too Large", "", "the request is too large\n")
            }
        };
        head(status, "text/plain; charset=utf-8", text.len(), more) + text
    }
}

fn head(status: &str, content_type: &str, length: usize, more: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n{more}\
         Connection: close\r\n\r\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(request: &str) -> Option<Result<Asked, Refusal>> {
        Head::default().handle_bytes(request.as_bytes())
    }

    fn get(format: Format) -> Option<Result<Asked, Refusal>> {
        Some(Ok(Asked { head_only: false, format }))
    }

    #[test]
    fn the_page_is_found() {
        for target in ["/metrics", "/metrics?x=/y", "http://127.0.0.1:9433/metrics"] {
            let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
            assert_eq!(ask(&request), get(Format::OpenMetrics), "{target}");
        }
        let head = Asked { head_only: true, format: Format::OpenMetrics };
        assert_eq!(ask("HEAD /metrics HTTP/1.0\r\n\r\n"), Some(Ok(head)));
    }

    #[test]
    fn a_request_may_come_in_pieces_of_any_size() {
        let request = b"GET /metrics HTTP/1.1\r\nAccept: */*\r\n\r\n";
        for size in 1..request.len() {
            let mut head = Head::default();
            let mut answers = request.chunks(size).map(|piece| head.handle_bytes(piece));
            assert_eq!(answers.find_map(|answer| answer), get(Format::OpenMetrics).unwrap().into());
        }
    }

    #[test]
    fn everything_else_is_refused() {
        let refused = [
            ("GET / HTTP/1.1", Refusal::NotFound),
            ("GET /metrics/ HTTP/1.1", Refusal::NotFound),
            ("GET /../metrics HTTP/1.1", Refusal::NotFound),
            ("GET http://metrics HTTP/1.1", Refusal::NotFound),
            ("DELETE / HTTP/1.1", Refusal::NotFound),
            ("POST /metrics HTTP/1.1", Refusal::Method),
            ("OPTIONS /metrics HTTP/1.1", Refusal::Method),
            ("GET /metrics HTTP/2.0", Refusal::Malformed),
            ("GET  /metrics HTTP/1.1", Refusal::Malformed),
            ("GET /metrics", Refusal::Malformed),
            ("get /metrics HTTP/1.1", Refusal::Malformed),
            ("\u{16}\u{3}\u{1}", Refusal::Malformed),
            ("", Refusal::Malformed),
        ];
        for (line, refusal) in refused {
            assert_eq!(ask(&format!("{line}\r\n\r\n")), Some(Err(refusal)), "{line:?}");
        }
        let bytes = Head::default().handle_bytes(b"GET /metrics HTTP/1.1\r\nx: \xff\r\n\r\n");
        assert_eq!(bytes, Some(Err(Refusal::Malformed)));
    }

    #[test]
    fn a_head_is_bounded() {
        let mut head = Head::default();
        let piece = [b'x'; 1000];
        let answers: Vec<_> = (0..9).map(|_| head.handle_bytes(&piece)).collect();
        assert_eq!(answers[..8], [const { None }; 8]);
        assert_eq!(answers[8], Some(Err(Refusal::TooLarge)));
        assert_eq!(head.bytes.len(), MAX_HEAD);
        let rest = MAX_HEAD - "GET /metrics HTTP/1.1\r\n\r\n\r\n".len();
        let fits = format!("GET /metrics HTTP/1.1\r\n{}\r\n\r\n", "x".repeat(rest));
        assert_eq!(ask(&fits), get(Format::OpenMetrics));
    }

    #[test]
    fn the_older_format_goes_to_who_takes_no_other() {
        let accept = |value: &str| ask(&format!("GET /metrics HTTP/1.1\r\naCCept:{value}\r\n\r\n"));
        for value in ["text/plain", "text/plain;version=0.0.4", "text/html, TEXT/plain;q=0.5"] {
            assert_eq!(accept(value), get(Format::Prometheus), "{value}");
        }
        for value in ["*/*", "application/openmetrics-text;version=1.0.0,text/plain;q=0.1", "x"] {
            assert_eq!(accept(value), get(Format::OpenMetrics), "{value}");
        }
    }

    #[test]
    fn a_response_says_how_long_it_is() {
        let asked = Asked { head_only: false, format: Format::OpenMetrics };
        let whole = response(&asked, "x/y", "page");
        let head = response(&Asked { head_only: true, ..asked }, "x/y", "page");
        assert_eq!(whole, format!("{head}page"));
        assert!(head.contains("\r\nContent-Length: 4\r\n") && head.ends_with("\r\n\r\n"));
        assert!(Refusal::Method.response().contains("\r\nAllow: GET, HEAD\r\n"));
    }
}
