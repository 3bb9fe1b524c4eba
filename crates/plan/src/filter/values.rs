//! What the variables of a text stand for in one request.

use std::io::Write;
use std::net::IpAddr;

use fairwater_message::template::{Part, Template, Variable};
use fairwater_message::{HeaderName, RequestHead, target};

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
}

/// Where a text goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Header,
    /// What is not from a URL is escaped as its path is.
    Url,
    Query,
}

impl Values<'_> {
    /// Writes a text with its variables filled in; what is not there is left out.
    pub fn fill_in(&self, template: &Template, shape: &PathShape, place: Place, out: &mut Vec<u8>) {
        let start = out.len();
        for part in template.parts() {
            // Behind a question mark, what ends a parameter is escaped too.
            let place = match place {
                Place::Url if out[start..].contains(&b'?') => Place::Query,
                place => place,
            };
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Variable(variable) => self.write(variable, shape, place, out),
            }
        }
    }

    fn write(&self, variable: &Variable, shape: &PathShape, place: Place, out: &mut Vec<u8>) {
        let target = self.head.path.of(self.bytes);
        let foreign: &[u8] = match variable {
            // These are parts of a URL as they are.
            Variable::Scheme => return out.extend_from_slice(self.scheme.as_bytes()),
            Variable::Host => {
                return out.extend_from_slice(target::host_of(self.head.authority.of(self.bytes)));
            }
            Variable::Path if target.is_empty() => return out.push(b'/'),
            Variable::Path => return out.extend_from_slice(target::path_of(target)),
            Variable::Query => return out.extend_from_slice(target::query_of(target)),
            Variable::Target => {
                if !target.starts_with(b"/") {
                    out.push(b'/');
                }
                return out.extend_from_slice(target);
            }
            Variable::Client => {
                // Writing to a Vec cannot fail.
                return self.client.map_or((), |client| write!(out, "{client}").unwrap_or(()));
            }
            Variable::User => self.user.as_bytes(),
            Variable::RequestId => self.request_id.as_bytes(),
            Variable::Method => self.head.method_span.of(self.bytes),
            Variable::Header(name) => self.header(name),
            Variable::Capture(name) => shape.capture(name, self.path),
            Variable::Rest => shape.rest(self.path),
        };
        match place {
            Place::Header => out.extend_from_slice(foreign),
            Place::Url => write_escaped(foreign, PATH_SIGNS, out),
            Place::Query => write_escaped(foreign, UNRESERVED_SIGNS, out),
        }
    }

    fn header(&self, name: &str) -> &[u8] {
        let name = HeaderName::new(name);
        let field = self.head.fields.iter().find(|field| name.is_of(field, self.bytes));
        field.map_or(&[], |field| field.value.of(self.bytes))
    }
}

/// What may stand in any part of a URL beside letters and digits (RFC 3986, section 2.3).
const UNRESERVED_SIGNS: &[u8] = b"-._~";
/// The same for a path, with its slashes (section 3.3).
pub(super) const PATH_SIGNS: &[u8] = b"-._~!$&'()*+,;=:@/";

/// Writes text with everything escaped but letters, digits and these signs.
pub(super) fn write_escaped(text: &[u8], signs: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        if byte.is_ascii_alphanumeric() || signs.contains(&byte) {
            out.push(byte);
        } else {
            let digit = |half: u8| b"0123456789ABCDEF"[usize::from(half)];
            out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}
