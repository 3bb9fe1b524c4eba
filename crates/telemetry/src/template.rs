//! A line after a template of the user's own.

use std::borrow::Cow;

use fairwater_message::Field;
use fairwater_message::log::{HeaderName, LogField, Part, Source, Template};
use fairwater_message::secret::SecretNames;

use crate::escape::escape_until;
use crate::hide::{write_header, write_url};
use crate::line::{
    Date, Entry, padded, padded_micros, write_common, write_hex, write_ip, write_iso,
};

/// Headers of a reply that a template names, kept from the moment in which the head was there: its
/// bytes are gone when the line is written.
#[derive(Debug, Default)]
pub struct Kept {
    text: Vec<u8>,
    /// Where each value ends in `text`.
    ends: Vec<usize>,
}

impl Kept {
    pub(crate) fn of(names: &[HeaderName], fields: &[Field], bytes: &[u8]) -> Self {
        let mut kept = Self::default();
        for name in names {
            kept.text.extend_from_slice(&joined(name, fields, bytes));
            kept.ends.push(kept.text.len());
        }
        kept
    }

    fn get(&self, place: usize) -> &[u8] {
        let start = place.checked_sub(1).map_or(0, |before| self.end(before));
        &self.text[start..self.end(place)]
    }

    fn end(&self, place: usize) -> usize {
        self.ends.get(place).copied().unwrap_or_default()
    }
}

/// The value of a header, or of all of that name as a list (RFC 9110, section 5.3).
fn joined<'a>(name: &'a HeaderName, fields: &'a [Field], bytes: &'a [u8]) -> Cow<'a, [u8]> {
    let mut values = name.values(fields, bytes);
    let first = values.next().unwrap_or_default();
    values.fold(Cow::Borrowed(first), |mut list, value| {
        list.to_mut().extend_from_slice(b", ");
        list.to_mut().extend_from_slice(value);
        list
    })
}

/// The two ways in which a template may write the date.
#[derive(Debug)]
pub(crate) struct Dates {
    pub(crate) iso: Date,
    pub(crate) common: Date,
}

impl Dates {
    pub(crate) const fn new() -> Self {
        Self { iso: Date::new(), common: Date::new() }
    }
}

pub(crate) fn write_template(
    out: &mut Vec<u8>,
    dates: &mut Dates,
    secrets: &SecretNames,
    template: &Template,
    entry: &Entry<'_>,
) {
    for part in &template.parts {
        match part {
            Part::Text(text) => out.extend_from_slice(text.as_bytes()),
            Part::Value { source, end } => {
                let start = out.len();
                match source {
                    Source::Field(field) => write_field(out, dates, secrets, (*field, *end), entry),
                    Source::Request(name) => {
                        let (fields, bytes) = entry.request;
                        write_header(out, &joined(name, fields, bytes), secrets, *end);
                    }
                    Source::Reply(place) => {
                        let value = entry.reply.map(|kept| kept.get(*place)).unwrap_or_default();
                        write_header(out, value, secrets, *end);
                    }
                }
                if out.len() == start {
                    out.push(b'-');
                }
            }
        }
    }
    out.push(b'\n');
}

/// Writes nothing for a value that is not there.
fn write_field(
    out: &mut Vec<u8>,
    dates: &mut Dates,
    secrets: &SecretNames,
    (field, end): (LogField, Option<u8>),
    entry: &Entry<'_>,
) {
    match field {
        LogField::Time => write_iso(out, &mut dates.iso, entry.wall_us),
        LogField::TimeCommon => write_common(out, &mut dates.common, entry.wall_us),
        LogField::Id => write_hex(out, entry.id),
        LogField::Client => entry.client.into_iter().for_each(|client| write_ip(out, client)),
        LogField::Status if entry.status > 0 => padded(out, u32::from(entry.status), 3),
        LogField::Reused if entry.attempts > 0 => {
            out.extend_from_slice(if entry.reused { b"true" } else { b"false" });
        }
        LogField::Target => write_url(out, entry.target, secrets, end),
        LogField::Referer => write_url(out, entry.referer, secrets, end),
        _ => match (number(field, entry), time(field, entry)) {
            (Some(number), _) => {
                out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
            }
            (None, Some((us, unit))) => write_time(out, us, unit),
            (None, None) => escape_until(out, text(field, entry), end),
        },
    }
}

fn number(field: LogField, entry: &Entry<'_>) -> Option<u64> {
    match field {
        LogField::TimeS => Some(entry.wall_us / 1_000_000),
        LogField::TimeMs => Some(entry.wall_us / 1_000),
        LogField::TimeUs => Some(entry.wall_us),
        LogField::ClientPort => entry.client.map(|_| u64::from(entry.client_port)),
        LogField::BytesIn => Some(entry.bytes_in),
        LogField::BytesOut => Some(entry.bytes_out),
        LogField::Attempts => Some(u64::from(entry.attempts)).filter(|attempts| *attempts > 0),
        _ => None,
    }
}

#[derive(Clone, Copy)]
enum Unit {
    Us,
    Ms,
    S,
}

fn time(field: LogField, entry: &Entry<'_>) -> Option<(u64, Unit)> {
    let timers = &entry.timers;
    let (us, unit) = match field {
        LogField::HeadUs => (timers.head_us, Unit::Us),
        LogField::HeadMs => (timers.head_us, Unit::Ms),
        LogField::HeadS => (timers.head_us, Unit::S),
        LogField::QueueUs => (timers.queue_us, Unit::Us),
        LogField::QueueMs => (timers.queue_us, Unit::Ms),
        LogField::QueueS => (timers.queue_us, Unit::S),
        LogField::ConnectUs => (timers.connect_us, Unit::Us),
        LogField::ConnectMs => (timers.connect_us, Unit::Ms),
        LogField::ConnectS => (timers.connect_us, Unit::S),
        LogField::ResponseUs => (timers.response_us, Unit::Us),
        LogField::ResponseMs => (timers.response_us, Unit::Ms),
        LogField::ResponseS => (timers.response_us, Unit::S),
        LogField::TotalUs => (Some(timers.total_us), Unit::Us),
        LogField::TotalMs => (Some(timers.total_us), Unit::Ms),
        LogField::TotalS => (Some(timers.total_us), Unit::S),
        _ => return None,
    };
    us.map(|us| (us, unit))
}

/// To the microsecond, whatever the unit.
fn write_time(out: &mut Vec<u8>, us: u64, unit: Unit) {
    let whole = match unit {
        Unit::Us => us,
        Unit::Ms => us / 1_000,
        Unit::S => us / 1_000_000,
    };
    out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes());
    match unit {
        Unit::Us => {}
        Unit::Ms => {
            out.push(b'.');
            padded(out, (us % 1_000) as u32, 3);
        }
        Unit::S => {
            out.push(b'.');
            padded_micros(out, us);
        }
    }
}

fn text<'a>(field: LogField, entry: &Entry<'a>) -> &'a [u8] {
    match field {
        LogField::Listener => entry.listener.as_bytes(),
        LogField::Protocol => entry.protocol.as_bytes(),
        LogField::Method => entry.method,
        LogField::Host => entry.host,
        LogField::Upstream => entry.upstream.as_bytes(),
        LogField::Endpoint => entry.endpoint.as_bytes(),
        LogField::UserAgent => entry.user_agent,
        LogField::TlsVersion => entry.tls.version.as_bytes(),
        LogField::TlsCipher => entry.tls.cipher.as_bytes(),
        LogField::TlsServerName => entry.tls.server_name.as_bytes(),
        LogField::ClientSubject => entry.tls.client_subject.as_bytes(),
        LogField::Reason => entry.reason.as_bytes(),
        LogField::Party => entry.party.as_bytes(),
        LogField::Phase => entry.phase.as_bytes(),
        LogField::Detail => entry.detail.as_bytes(),
        LogField::Limit => entry.limit.as_bytes(),
        _ => b"",
    }
}
