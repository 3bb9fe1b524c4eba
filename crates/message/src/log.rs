//! What a line of the access log may be made of: its fields, and a template as a list of parts.

use crate::{Field, HeaderId};

macro_rules! log_fields {
    ($($variant:ident = $name:literal),+ $(,)?) => {
        /// A field of the access log, as templates name it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum LogField { $($variant),+ }

        impl LogField {
            /// Every field, in declaration order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
    };
}

log_fields! {
    Time = "time",
    TimeCommon = "time_common",
    TimeS = "time_s",
    TimeMs = "time_ms",
    TimeUs = "time_us",
    Id = "id",
    Listener = "listener",
    Client = "client",
    ClientPort = "client_port",
    Protocol = "protocol",
    Method = "method",
    Host = "host",
    Target = "target",
    Status = "status",
    BytesIn = "bytes_in",
    BytesOut = "bytes_out",
    Upstream = "upstream",
    Endpoint = "endpoint",
    Attempts = "attempts",
    Reused = "reused",
    HeadUs = "head_us",
    HeadMs = "head_ms",
    HeadS = "head_s",
    QueueUs = "queue_us",
    QueueMs = "queue_ms",
    QueueS = "queue_s",
    ConnectUs = "connect_us",
    ConnectMs = "connect_ms",
    ConnectS = "connect_s",
    ResponseUs = "response_us",
    ResponseMs = "response_ms",
    ResponseS = "response_s",
    TotalUs = "total_us",
    TotalMs = "total_ms",
    TotalS = "total_s",
    UserAgent = "user_agent",
    Referer = "referer",
    TlsVersion = "tls_version",
    TlsCipher = "tls_cipher",
    TlsServerName = "tls_server_name",
    ClientSubject = "client_subject",
    Reason = "reason",
    Party = "party",
    Phase = "phase",
    Detail = "detail",
    Limit = "limit",
}

/// A line as it was written in the configuration, taken apart once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    pub parts: Vec<Part>,
    /// Headers of replies that the parts name by their place here.
    pub replies: Vec<HeaderName>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Text(String),
    Value {
        source: Source,
        /// The sign behind it in the template, which would end the value too early if it held it.
        end: Option<u8>,
    },
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Field(LogField),
    /// A header of the request.
    Request(HeaderName),
    /// A header of the reply, by its place in [`Template::replies`].
    Reply(usize),
}

/// A header to look for in heads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderName {
    /// In lower case.
    name: String,
    id: HeaderId,
}

impl HeaderName {
    pub fn new(name: &str) -> Self {
        Self { name: name.to_ascii_lowercase(), id: HeaderId::of(name.as_bytes()) }
    }

    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The values of all fields of this name, in their order. `bytes` is what the head points into.
    pub fn values<'a>(
        &'a self,
        fields: &'a [Field],
        bytes: &'a [u8],
    ) -> impl Iterator<Item = &'a [u8]> {
        let is_it = |field: &&Field| {
            field.id == self.id
                && (self.id != HeaderId::Other
                    || field.name.of(bytes).eq_ignore_ascii_case(self.name.as_bytes()))
        };
        fields.iter().filter(is_it).map(|field| field.value.of(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Span;

    #[test]
    fn headers_are_found_by_id_or_by_name() {
        let bytes = b"X-Team:a;Accept:b;x-team:c;";
        let field = |name: (usize, usize), value: usize| {
            let name = Span::new(name.0, name.1);
            Field { name, value: Span::new(value, value + 1), id: HeaderId::of(name.of(bytes)) }
        };
        let fields = [field((0, 6), 7), field((9, 15), 16), field((18, 24), 25)];
        for (name, expected) in
            [("x-team", &["a", "c"][..]), ("ACCEPT", &["b"]), ("x-tea", &[]), ("host", &[])]
        {
            let name = HeaderName::new(name);
            let values: Vec<_> = name.values(&fields, bytes).map(str::from_utf8).collect();
            let values: Vec<_> = values.into_iter().map(Result::unwrap).collect();
            assert_eq!(values, expected, "{name:?}");
        }
    }
}
