//! Probes that are requests.

use fairwater_config::HttpCheck;
use fairwater_message::{BodyLength, HeadLimits, ResponseHead};
use fairwater_proto::h1::{ChunkDecoder, ResponseReader};

use super::wire::Wire;
use super::{Search, http2, value_of};
use crate::health::target::Target;

/// Interim replies before the one that counts.
const PROBE_INTERIM_MAX: usize = 16;

/// Asks, and gives the advice in a good reply: empty, if there is none.
pub(super) async fn ask(
    wire: &mut Wire,
    target: &Target,
    check: &HttpCheck,
    body_max: usize,
) -> Result<Option<Vec<u8>>, String> {
    let fields = fields(check);
    let wanted = check.body.as_ref().map(String::as_bytes);
    let is_good = |status: u16| {
        let good = check.statuses.iter().any(|(first, last)| (*first..=*last).contains(&status));
        if good { Ok(()) } else { Err(format!("it answers with status {status}")) }
    };
    let head = if wire.speaks_http2(target) {
        let asked = http2::Asked {
            method: &check.method,
            path: &check.path,
            host: &target.host,
            fields: &fields,
            body: &[],
            is_secure: target.tls.is_some(),
            body_max,
        };
        let reply = http2::ask(wire, asked, |status| is_good(status).map(|()| wanted)).await?;
        reply.head
    } else {
        wire.send(&request(target, check, &fields)).await?;
        let mut reply = Reply::default();
        reply.read_head(wire, target.is_relaxed).await?;
        is_good(reply.head.status)?;
        if let Some(wanted) = wanted {
            reply.look_for(wire, wanted, check.method == "HEAD", body_max).await?;
        }
        reply.bytes
    };
    let name = check.advice_header.as_ref();
    Ok(name.map(|name| value_of(&head, name).unwrap_or_default().to_vec()))
}

/// The fields of a request beside its host.
fn fields(check: &HttpCheck) -> Vec<(&str, &str)> {
    let HttpCheck { method, headers, .. } = check;
    let mut fields = Vec::new();
    if !headers.iter().any(|(set, _)| set == "user-agent") {
        fields.push(("user-agent", "fairwater-check"));
    }
    fields.extend(headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    if !matches!(method.as_str(), "GET" | "HEAD" | "OPTIONS") {
        fields.push(("content-length", "0"));
    }
    fields
}

/// The request, as HTTP/1.1 has it.
fn request(target: &Target, check: &HttpCheck, fields: &[(&str, &str)]) -> Vec<u8> {
    let HttpCheck { method, path, .. } = check;
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", target.host);
    for (name, value) in fields {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("connection: close\r\n\r\n");
    text.into_bytes()
}

/// A reply of HTTP/1.
#[derive(Default)]
struct Reply {
    bytes: Vec<u8>,
    head: ResponseHead,
}

impl Reply {
    async fn read_head(&mut self, wire: &Wire, is_relaxed: bool) -> Result<(), String> {
        for _ in 0..PROBE_INTERIM_MAX {
            let mut reader = ResponseReader::new(is_relaxed, HeadLimits::DEFAULT);
            self.head.clear();
            loop {
                let read = reader.read(&self.bytes, &mut self.head);
                match read.map_err(|fault| malformed(fault.detail))? {
                    true => break,
                    false if wire.receive(&mut self.bytes).await? => {}
                    false if self.bytes.is_empty() => {
                        return Err("it closes without an answer".to_owned());
                    }
                    false => return Err("it closes within its answer".to_owned()),
                }
            }
            if self.head.status >= 200 {
                return Ok(());
            }
            self.bytes.drain(..self.head.len);
        }
        Err("it never comes to its answer".to_owned())
    }

    /// Reads the body until what is wanted has come.
    async fn look_for(
        &mut self,
        wire: &Wire,
        wanted: &[u8],
        is_head: bool,
        body_max: usize,
    ) -> Result<(), String> {
        let missing = || "its body is not the expected one".to_owned();
        let mut coded = self.bytes.split_off(self.head.len);
        let mut chunks = ChunkDecoder::of_response();
        let mut left = match self.head.body {
            _ if is_head || matches!(self.head.status, 204 | 304) => return Err(missing()),
            BodyLength::None => return Err(missing()),
            BodyLength::Known(length) => length,
            BodyLength::Chunked | BodyLength::UntilClose => u64::MAX,
        };
        let mut search = Search::new(wanted, body_max);
        loop {
            let (data, used, is_over) = match self.head.body {
                BodyLength::Chunked => {
                    let decoded = chunks.decode(&mut coded);
                    let decoded = decoded.map_err(|fault| malformed(fault.detail))?;
                    (decoded.data, decoded.consumed, decoded.is_done)
                }
                _ => {
                    let len = usize::try_from(left).unwrap_or(usize::MAX).min(coded.len());
                    left -= len as u64;
                    (0..len, len, left == 0)
                }
            };
            match search.take(&coded[data]) {
                Some(true) => return Ok(()),
                Some(false) => return Err(too_long(body_max)),
                None => drop(coded.drain(..used)),
            }
            if is_over || !wire.receive(&mut coded).await? {
                return Err(missing());
            }
        }
    }
}

/// What was wanted of a body did not come in time.
pub(super) fn too_long(body_max: usize) -> String {
    format!("the first {body_max} bytes of its body are not as expected")
}

fn malformed(detail: &str) -> String {
    match detail {
        "" => "its answer is malformed".to_owned(),
        detail => format!("its answer is malformed: {}", detail.replace('_', " ")),
    }
}
