//! What the variables of a text stand for in one request.

use std::io::Write;
use std::net::IpAddr;

use fairwater_message::template::{Part, Template, TlsVariable, Variable};
use fairwater_message::{HeaderName, RequestHead, target};
use fairwater_tls::Agreed;

use super::PathShape;

/// A request, as far as texts take from it.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    pub head: &'a RequestHead,
    pub bytes: &'a [u8],
    /// The path in its normal form; looked at only by filters that say so.
    pub path: &'a [u8],
    pub client: Option<IpAddr>,
    pub scheme: &'a str,
    pub request_id: &'a str,
    /// Empty where nobody is asked for a password.
    pub user: &'a str,
    /// Nothing without TLS.
    pub tls: Option<&'a Agreed>,
}

/// Where a text goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Header,
    /// To the client, which finds its own way.
    Location,
    /// To an endpoint.
    Path,
}

/// What is not from a URL is escaped where it becomes a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escaping {
    None,
    /// Several segments.
    Segments,
    /// One segment or parameter.
    One,
}

impl Values<'_> {
    /// Writes a text with its variables filled in; what is not there is left out.
    pub fn fill_in(&self, template: &Template, shape: &PathShape, place: Place, out: &mut Vec<u8>) {
        let start = out.len();
        for part in template.parts() {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Variable(variable) => {
                    // Behind a question mark, what ends a parameter is escaped too.
                    let is_in_query = place != Place::Header && out[start..].contains(&b'?');
                    self.write(variable, shape, (place, is_in_query), out);
                }
            }
        }
    }

    fn write(
        &self,
        variable: &Variable,
        shape: &PathShape,
        (place, is_in_query): (Place, bool),
        out: &mut Vec<u8>,
    ) {
        let target = self.head.path.of(self.bytes);
        let foreign: &[u8] = match variable {
            // These are parts of a URL as they are.
            Variable::Scheme => return out.extend_from_slice(self.scheme.as_bytes()),
            Variable::Host => {
                return out.extend_from_slice(target::host_of(self.head.authority.of(self.bytes)));
            }
            Variable::Query => return out.extend_from_slice(target::query_of(target)),
            Variable::Path => return self.write_whole_path(place, out),
            Variable::Target => {
                self.write_whole_path(place, out);
                return out.extend_from_slice(&target[target::path_of(target).len()..]);
            }
            Variable::Client => {
                // Writing to a Vec cannot fail.
                let client = self.client.map(|client| client.to_canonical());
                return client.map_or((), |client| write!(out, "{client}").unwrap_or(()));
            }
            Variable::User => self.user.as_bytes(),
            Variable::Tls(variable) => self.tls.map_or(&[], |tls| of_tls(tls, *variable)),
            Variable::RequestId => self.request_id.as_bytes(),
            Variable::Method => self.head.method_span.of(self.bytes),
            Variable::Header(name) => self.header(name),
            Variable::Capture(name) => shape.capture(name, self.path),
            Variable::Rest => shape.rest(self.path),
        };
        let escaping = match (place, variable) {
            (Place::Header, _) => Escaping::None,
            (_, Variable::Rest) if !is_in_query => Escaping::Segments,
            _ => Escaping::One,
        };
        match escaping {
            Escaping::None => out.extend_from_slice(foreign),
            Escaping::Segments => write_escaped(foreign, SEGMENTS_SIGNS, out),
            Escaping::One if is_in_query => write_escaped(foreign, UNRESERVED_SIGNS, out),
            Escaping::One => write_escaped(foreign, SEGMENT_SIGNS, out),
        }
    }

    /// The path of the client. Where it becomes a part of another one, dot segments of it must not
    /// lead out of there.
    fn write_whole_path(&self, place: Place, out: &mut Vec<u8>) {
        let path = target::path_of(self.head.path.of(self.bytes));
        match place {
            _ if path.is_empty() => out.push(b'/'),
            Place::Path => self.write_path(self.path, out),
            Place::Header | Place::Location => out.extend_from_slice(path),
        }
    }

    /// Writes a part of the path in its normal form: as the client wrote it, if that was the normal
    /// form, or else escaped again.
    pub(super) fn write_path(&self, part: &[u8], out: &mut Vec<u8>) {
        let raw = target::path_of(self.head.path.of(self.bytes));
        match raw == self.path {
            true => out.extend_from_slice(part),
            false => write_escaped(part, SEGMENTS_SIGNS, out),
        }
    }

    fn header(&self, name: &str) -> &[u8] {
        let name = HeaderName::new(name);
        let field = self.head.fields.iter().find(|field| name.is_of(field, self.bytes));
        field.map_or(&[], |field| field.value.of(self.bytes))
    }
}

fn of_tls(tls: &Agreed, variable: TlsVariable) -> &[u8] {
    match variable {
        TlsVariable::Version => tls.version,
        TlsVariable::Cipher => tls.cipher,
        TlsVariable::ServerName => &tls.server_name,
        TlsVariable::Subject => &tls.peer.subject,
        TlsVariable::Issuer => &tls.peer.issuer,
        TlsVariable::Serial => &tls.peer.serial,
        TlsVariable::Fingerprint => &tls.peer.fingerprint,
        TlsVariable::Names => &tls.peer.names,
    }
    .as_bytes()
}

/// What may stand in any part of a URL beside letters and digits (RFC 3986, section 2.3).
const UNRESERVED_SIGNS: &[u8] = b"-._~";
/// The same for a segment of a path, and for several with their slashes (section 3.3).
const SEGMENT_SIGNS: &[u8] = b"-._~!$&'()*+,;=:@";
const SEGMENTS_SIGNS: &[u8] = b"-._~!$&'()*+,;=:@/";

/// Writes text with everything escaped but letters, digits and these signs.
fn write_escaped(text: &[u8], signs: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        if byte.is_ascii_alphanumeric() || signs.contains(&byte) {
            out.push(byte);
        } else {
            let digit = |half: u8| b"0123456789ABCDEF"[usize::from(half)];
            out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}
