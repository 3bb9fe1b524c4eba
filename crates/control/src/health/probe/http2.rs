//! One request over HTTP/2.

use fairwater_net::clock;
use fairwater_proto::h1::reason_phrase;
use fairwater_proto::hpack::write_field;
use fairwater_proto::http2::{Bounds, Connection, Read, Requested, Role, Scratch};

use super::Search;
use super::http::too_long;
use super::wire::Wire;

/// A head that says how an endpoint is.
const PROBE_HEAD_BYTES_MAX: usize = 32 * 1024;
const PROBE_FIELDS_MAX: usize = 128;
/// What is read at a time.
const WINDOW_BYTES: u32 = 64 * 1024;

pub(super) struct Asked<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub host: &'a str,
    pub fields: &'a [(&'a str, &'a str)],
    /// With one the reply has trailers.
    pub body: &'a [u8],
    pub is_secure: bool,
    pub body_max: usize,
}

impl Asked<'_> {
    /// The head, compressed.
    fn block(&self) -> Vec<u8> {
        let scheme = if self.is_secure { "https" } else { "http" };
        let pseudo = [
            (":method", self.method),
            (":scheme", scheme),
            (":path", self.path),
            (":authority", self.host),
        ];
        let trailers = Some(("te", "trailers")).filter(|_| !self.body.is_empty());
        let mut out = Vec::new();
        for (name, value) in pseudo.iter().chain(self.fields).chain(&trailers) {
            write_field(&mut out, name.as_bytes(), value.as_bytes());
        }
        out
    }
}

#[derive(Debug, Default)]
pub(super) struct Reply {
    /// As lines.
    pub head: Vec<u8>,
    pub body: Vec<u8>,
    pub trailers: Vec<u8>,
}

/// Asks. Reads the body until it has what `judge` wants of a reply with this status, or to its end
/// if that is empty; nothing of it, if nothing is wanted.
pub(super) async fn ask<'w>(
    wire: &mut Wire,
    asked: Asked<'_>,
    judge: impl FnOnce(u16) -> Result<Option<&'w [u8]>, String>,
) -> Result<Reply, String> {
    let mut talk = Talk::begin(&asked)?;
    let mut reply = Reply::default();
    let status = loop {
        match talk.engine.next_head(talk.stream) {
            Some(head) if head.status >= 200 => {
                reply.head = head.text;
                break head.status;
            }
            Some(_) => {}
            None => talk.move_on(wire).await?,
        }
    };
    let Some(wanted) = judge(status)? else { return Ok(reply) };
    let (mut search, mut buffer) = (Search::new(wanted, asked.body_max), [0; 4096]);
    loop {
        match talk.engine.read(talk.stream, &mut buffer) {
            Read::Data(len) if wanted.is_empty() => {
                reply.body.extend_from_slice(&buffer[..len]);
                if reply.body.len() > asked.body_max {
                    return Err(too_long(asked.body_max));
                }
            }
            Read::Data(len) => match search.take(&buffer[..len]) {
                Some(true) => return Ok(reply),
                Some(false) => return Err(too_long(asked.body_max)),
                None => {}
            },
            Read::Wait => talk.move_on(wire).await?,
            Read::End if wanted.is_empty() => {
                reply.trailers = talk.engine.trailers(talk.stream).lines;
                return Ok(reply);
            }
            Read::End => return Err("its body is not the expected one".to_owned()),
            Read::Reset(code) => return Err(format!("it breaks off its answer ({})", code.0)),
        }
    }
}

/// A connection with one stream.
struct Talk {
    engine: Connection<()>,
    scratch: Scratch,
    stream: u32,
}

impl Talk {
    fn begin(asked: &Asked<'_>) -> Result<Self, String> {
        let bounds = Bounds {
            head_bytes: PROBE_HEAD_BYTES_MAX,
            head_fields: PROBE_FIELDS_MAX,
            streams: 0,
            stream_window: WINDOW_BYTES,
            connection_window: WINDOW_BYTES,
            unsent_bytes: WINDOW_BYTES as usize,
            phrase: reason_phrase,
        };
        let mut engine = Connection::new(Role::Client, bounds);
        let requested = Requested { is_tunnel: false, is_head: asked.method == "HEAD" };
        let stream = engine.send_request(requested, asked.body.is_empty(), |out| {
            out.extend_from_slice(&asked.block());
        });
        let stream = stream.ok_or("it takes no request")?;
        if !asked.body.is_empty() {
            let sent = engine.send_data(stream, asked.body, true);
            sent.map_err(|_| "it takes no request")?;
        }
        Ok(Self { engine, scratch: Scratch::default(), stream })
    }

    /// Sends what there is, and takes in what comes.
    async fn move_on(&mut self, wire: &Wire) -> Result<(), String> {
        let out = self.engine.out().to_vec();
        wire.send(&out).await?;
        self.engine.sent(out.len());
        if let Some((code, _)) = self.engine.end() {
            return Err(format!("it breaks the rules of HTTP/2 ({})", code.0));
        }
        if let Some((code, ..)) = self.engine.reset_of(self.stream) {
            return Err(format!("it refuses the request ({})", code.0));
        }
        let mut bytes = Vec::new();
        if !wire.receive(&mut bytes).await? {
            return Err("it closes without an answer".to_owned());
        }
        self.engine.receive(&bytes, clock::coarse_ms(), &mut self.scratch);
        Ok(())
    }
}
