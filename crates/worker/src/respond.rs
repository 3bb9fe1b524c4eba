//! The one place where a fault becomes a response, and the few replies that we make ourselves.

use std::future::poll_fn;
use std::ops::ControlFlow;
use std::task::Poll;

use fairwater_message::{Fault, HeaderId, Method, RequestHead};
use fairwater_net::clock::{self, Civil};
use fairwater_proto::h1::reason_phrase;

use crate::accept::Accepted;
use crate::downstream::Sink;
use crate::exchange::{End, Exchange};
use crate::limits;
use crate::record::{HeadTimes, Record};
use crate::shard::Shard;
use crate::work::{Buffer, Work};
use crate::write::Stall;

/// Answers a fault, if the client can still be answered.
pub(crate) async fn to_fault(
    exchange: &mut Exchange<'_>,
    record: &mut Record<'_>,
    fault: Fault,
) -> End {
    let status = fault.kind.status();
    let sink = &mut exchange.reply.sink;
    if sink.is_started || status == 0 {
        sink.break_off(fault.kind);
        return End::Close;
    }
    // A body of which nobody knows where it ends, or a client that broke the rules: no more of it.
    let is_broken = matches!(status, 400 | 408 | 413 | 431);
    let skipped = exchange.source.is_done() || (!is_broken && skip_body(exchange).await);
    let closes = exchange.reply.sink.closes || is_broken || !skipped;
    let body = Body::new(status, exchange.head, exchange.bytes);
    let head = exchange.head;
    let timer = &exchange.connection.timer;
    let write = |out: &mut Vec<u8>| body.write(out, head.method, closes, head);
    if exchange.reply.sink.answer(timer, write).await.is_err() {
        return End::Close;
    }
    record.status = status;
    record.bytes_out += body.sent_len(exchange.head.method);
    if closes { End::Linger } else { End::KeepAlive }
}

/// Answers a head that could not be read, and accounts for it.
pub(crate) async fn to_bad_head(
    shard: &Shard,
    connection: &Accepted,
    work: &mut Work,
    fault: Fault,
    begun_us: u64,
) {
    let status = fault.kind.status();
    let head = &mut work.request_head;
    head.fields.clear(); // half an index is none
    let times = HeadTimes { begun_us, done_us: shard.now_us() };
    let mut record = Record::open(shard, connection, head, work.request.data(), times);
    record.fault(fault);
    if status == 0 {
        return;
    }
    let body = Body::new(status, head, &[]);
    let mut sink = Sink::new(&connection.stream, &mut work.reply_out, true);
    // What is known of a broken head is its first line, if that was whole.
    let method = if head.method_span.is_empty() { Method::Get } else { head.method };
    let write = |out: &mut Vec<u8>| body.write(out, method, true, head);
    if sink.answer(&connection.timer, write).await.is_ok() {
        record.status = status;
        record.bytes_out = body.sent_len(method);
    }
    drop(record);
    linger(connection, &mut work.request).await;
}

/// `OPTIONS *` asks about the server as a whole, and that is us.
pub(crate) async fn to_options(
    exchange: &mut Exchange<'_>,
    record: &mut Record<'_>,
) -> Result<(), Fault> {
    record.status = 204;
    let (head, closes) = (exchange.head, exchange.reply.sink.closes);
    let write = |out: &mut Vec<u8>| {
        out.extend_from_slice(b"HTTP/1.1 204 No Content\r\n");
        write_connection(out, closes, head);
        out.extend_from_slice(b"\r\n");
    };
    exchange.reply.sink.answer(&exchange.connection.timer, write).await
}

/// Reads and drops the rest of a request body, if it is short and comes soon. Returns whether the
/// connection stands at the next request.
pub(crate) async fn skip_body(exchange: &mut Exchange<'_>) -> bool {
    let source = &mut exchange.source;
    let timer = &exchange.connection.timer;
    let mut budget = limits::LINGER_BYTES;
    // For all of it: a client that drips gains nothing.
    timer.set(limits::LINGER);
    loop {
        let Ok(range) = source.take() else { return false };
        if source.take_trailers().is_err() {
            return false;
        }
        if source.is_done() {
            return true;
        }
        let Some(left) = budget.checked_sub(range.len()) else { return false };
        budget = left;
        if range.is_empty() {
            if exchange.head.expects_continue {
                return false; // it waits for our word, which it did not get
            }
            if source.fill_in_time(timer).await.is_err() {
                return false;
            }
        }
    }
}

/// Ends our direction and reads what the client still sends: for a moment, and for as long as it
/// takes what it was sent, which a reset would cut off.
pub(crate) async fn linger(connection: &Accepted, buffer: &mut Buffer) {
    let (stream, timer) = (&connection.stream, &connection.timer);
    if stream.shut_down().is_err() {
        return;
    }
    timer.set(limits::LINGER);
    buffer.clear();
    let mut budget = limits::LINGER_BYTES;
    let mut stall: Option<Stall> = None;
    loop {
        let room = buffer.room();
        let step = poll_fn(|cx| match stream.poll_read(cx, room) {
            Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(ControlFlow::Break(())),
            Poll::Ready(Ok(len)) => Poll::Ready(ControlFlow::Continue(len)),
            Poll::Pending => match &mut stall {
                Some(stall) => stall.poll(cx, stream, timer).map(ControlFlow::Break),
                None => timer.poll_expired(cx).map(|()| ControlFlow::Continue(0)),
            },
        });
        let ControlFlow::Continue(len) = step.await else { return };
        if len == 0 {
            // The moment is over. The end of our direction counts as one byte.
            if stream.untaken_bytes() <= 1 {
                return;
            }
            stall = Some(Stall::default());
        }
        let Some(left) = budget.checked_sub(len) else { return };
        budget = left;
    }
}

/// The body of a reply that we make: short, and telling nothing of the inside.
struct Body {
    status: u16,
    is_json: bool,
}

impl Body {
    fn new(status: u16, head: &RequestHead, bytes: &[u8]) -> Self {
        let accept = head.find(HeaderId::Accept).map_or(&b""[..], |field| field.value.of(bytes));
        let at = |needle: &[u8]| accept.windows(needle.len()).position(|w| w == needle);
        let is_json = match (at(b"application/json"), at(b"text/")) {
            (Some(json), Some(text)) => json < text,
            (json, _) => json.is_some(),
        };
        Self { status, is_json }
    }

    fn len(&self) -> usize {
        let phrase = reason_phrase(self.status).len();
        if self.is_json { r#"{"status":000,"error":""}"#.len() + phrase + 1 } else { phrase + 5 }
    }

    fn sent_len(&self, method: Method) -> u64 {
        if method == Method::Head { 0 } else { self.len() as u64 }
    }

    fn write(&self, out: &mut Vec<u8>, method: Method, closes: bool, head: &RequestHead) {
        let mut digits = itoa::Buffer::new();
        let status = digits.format(self.status).as_bytes();
        let phrase = reason_phrase(self.status).as_bytes();
        for part in [b"HTTP/1.1 ", status, b" ", phrase, b"\r\ncontent-type: "] {
            out.extend_from_slice(part);
        }
        let kind: &[u8] =
            if self.is_json { b"application/json" } else { b"text/plain; charset=utf-8" };
        out.extend_from_slice(kind);
        out.extend_from_slice(b"\r\ncontent-length: ");
        out.extend_from_slice(itoa::Buffer::new().format(self.len()).as_bytes());
        out.extend_from_slice(b"\r\n");
        write_date(out, clock::wall_us() / 1_000_000);
        match self.status {
            405 => {
                out.extend_from_slice(b"allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH\r\n")
            }
            503 => out.extend_from_slice(b"retry-after: 1\r\n"),
            _ => {}
        }
        write_connection(out, closes, head);
        out.extend_from_slice(b"\r\n");
        if method == Method::Head {
            return;
        }
        let parts: [&[u8]; 5] = if self.is_json {
            [b"{\"status\":", status, b",\"error\":\"", phrase, b"\"}\n"]
        } else {
            [status, b" ", phrase, b"\n", b""]
        };
        for part in parts {
            out.extend_from_slice(part);
        }
    }
}

/// RFC 9110, section 5.6.7.
fn write_date(out: &mut Vec<u8>, seconds: u64) {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let Civil { year, month, day, hour, minute, second } = Civil::from_epoch(seconds);
    let (name, month) = (DAYS[(seconds / 86_400 % 7) as usize], Civil::MONTHS[month as usize - 1]);
    let clock = format!("{hour:02}:{minute:02}:{second:02}");
    let date = format!("date: {name}, {day:02} {month} {year:04} {clock} GMT\r\n");
    out.extend_from_slice(date.as_bytes());
}

fn write_connection(out: &mut Vec<u8>, closes: bool, head: &RequestHead) {
    if closes {
        out.extend_from_slice(b"connection: close\r\n");
    } else if !crate::downstream::reads_chunks(head) {
        out.extend_from_slice(b"connection: keep-alive\r\n"); // HTTP/1.0 needs to be told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_http() {
        for (seconds, expected) in [
            (784_111_777, "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"),
            (0, "date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"),
            (1_795_258_507, "date: Sat, 21 Nov 2026 10:55:07 GMT\r\n"),
        ] {
            let mut out = Vec::new();
            write_date(&mut out, seconds);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
