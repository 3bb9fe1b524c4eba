//! Step 6: what the filters of a route make of an exchange, before an endpoint is picked. Most
//! routes have none, and pay nothing.

use fairwater_message::{Fault, FaultKind, HeaderName, target};
use fairwater_plan::{ErrorPages, Filters, Listener, PathEdit, Values, is_preflight};
use fairwater_proto::h1::{Edits, client_address};

use crate::exchange::Exchange;
use crate::own_reply::{OwnReply, prefers_json};
use crate::record::Record;
use crate::session::Seating;
use crate::{auth, rate, respond};

/// What changes in a head on its way; its memory is used again by the next exchange.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Path and query, if they become others.
    path: Vec<u8>,
    /// Field lines that are added.
    pub lines: Vec<u8>,
    /// The name of the cookie that is ours, if there is one.
    pub own_cookie: Vec<u8>,
    /// Of a request whose session stays with an endpoint.
    pub seating: Seating,
    /// When the breaker of its upstream, if there is one, let a request through.
    pub admitted_ms: u64,
    /// How long it lets nobody through, where it did not.
    pub refused_for_ms: u64,
}

impl Changes {
    pub(crate) fn clear(&mut self) {
        self.path.clear();
        self.lines.clear();
        self.own_cookie.clear();
        self.seating = Seating::default();
    }

    pub(crate) fn edits<'a>(&'a self, removed: &'a [HeaderName]) -> Edits<'a> {
        let path = (!self.path.is_empty()).then_some(&*self.path);
        Edits { path, removed, lines: &self.lines, own_cookie: &self.own_cookie }
    }
}

/// Longer ids than this are somebody's mistake.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// Takes an exchange through the filters of its route, and prepares what they do to the reply.
/// Returns whether it is answered by them.
///
/// # Errors
/// When the client or its request is refused.
pub(crate) async fn pass<'a>(
    exchange: &mut Exchange<'a>,
    filters: &'a Filters,
    record: &mut Record<'a>,
) -> Result<bool, Fault> {
    exchange.filters = Some(filters);
    exchange.timeouts = filters.timeouts;
    exchange.reply.interception = Interception::of(exchange, filters);
    let verdict = judge(exchange, filters, record).await;
    // Whatever the verdict: replies of our own have the headers of their route too.
    let (may_read, path) = apply(exchange, filters, record);
    if let (Err(Fault { kind: FaultKind::Unauthorized, .. }), Some(auth)) =
        (verdict, &filters.basic_auth)
    {
        exchange.reply.changes.lines.extend_from_slice(auth.challenge().as_bytes());
    }
    if verdict? == Verdict::Preflight {
        return answer_preflight(exchange, filters, record, may_read).await;
    }
    path?;
    match filters.body_bytes_max {
        Some(max) => exchange.source.limit(max).map(|()| false),
        None => Ok(false),
    }
}

/// Prepares the reply to a request that has no route: it is what the listener makes of it.
///
/// # Errors
/// When the client may not come at all: it shall not learn which routes there are.
pub(crate) fn pass_by<'a>(
    exchange: &mut Exchange<'a>,
    record: &mut Record<'a>,
) -> Result<(), Fault> {
    let Some(filters) = &exchange.listener.filters else { return Ok(()) };
    exchange.filters = Some(filters);
    // Its path is not sent to anybody.
    let (_, _) = apply(exchange, filters, record);
    check_access(exchange, filters)?;
    check_rate(exchange, filters, record)
}

fn check_access(exchange: &Exchange<'_>, filters: &Filters) -> Result<(), Fault> {
    if filters.access.is_open() {
        return Ok(());
    }
    let (head, bytes, listener) = (exchange.head, exchange.bytes, exchange.listener);
    let peer = exchange.connection.peer().ip();
    let client = peer.map(|peer| client_address(head, bytes, peer, |ip| listener.trusts(ip)));
    match filters.access.lets_in(client) {
        true => Ok(()),
        false => Err(FaultKind::AccessDenied.into()),
    }
}

/// Before anything that costs more than this, such as a password.
fn check_rate<'a>(
    exchange: &mut Exchange<'a>,
    filters: &'a Filters,
    record: &mut Record<'a>,
) -> Result<(), Fault> {
    match filters.limits.is_empty() {
        true => Ok(()),
        false => rate::take(exchange, &filters.limits, record),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Pass,
    /// A browser asks what it may send. It gets its answer without a password: it sends none.
    Preflight,
}

/// Tells a browser what pages of an origin may send. Other requests are refused nothing, whatever
/// their origin: it is the browser that keeps a page from reading a reply.
async fn answer_preflight<'a>(
    exchange: &mut Exchange<'a>,
    filters: &Filters,
    record: &mut Record<'a>,
    may_read: bool,
) -> Result<bool, Fault> {
    let Some(cors) = filters.cors.as_ref().filter(|_| may_read) else {
        return Err(FaultKind::OriginRefused.into());
    };
    cors.write_preflight(&mut exchange.reply.changes.lines);
    respond::with(exchange, record, &OwnReply::new(204)).await?;
    Ok(true)
}

/// Whether the client may come.
async fn judge<'a>(
    exchange: &mut Exchange<'a>,
    filters: &'a Filters,
    record: &mut Record<'a>,
) -> Result<Verdict, Fault> {
    check_access(exchange, filters)?;
    check_rate(exchange, filters, record)?;
    if filters.cors.is_some() && is_preflight(exchange.head, exchange.bytes) {
        return Ok(Verdict::Preflight);
    }
    if let Some(auth) = &filters.basic_auth {
        exchange.user = auth::user(exchange, auth).await?;
    }
    Ok(Verdict::Pass)
}

/// Writes what changes in the request and in its reply. Returns whether a page of the origin that
/// the request is from may read the reply, and whether its path may be sent on.
fn apply<'a>(
    exchange: &mut Exchange<'a>,
    filters: &'a Filters,
    record: &mut Record<'a>,
) -> (bool, Result<(), Fault>) {
    exchange.source.remove(&filters.request.removed);
    let path = with_values(exchange, filters, record, |values, exchange| {
        let reply = &mut exchange.reply;
        reply.removed = &filters.response.removed;
        filters.response.write(values, &filters.shape, &mut reply.changes.lines);
        filters.request.write(values, &filters.shape, &mut exchange.changes.lines);
        match &filters.path {
            PathEdit::Keep => Ok(()),
            edit => edit.write(values, &filters.shape, &mut exchange.changes.path),
        }
    });
    let path = path.map_err(|_| Fault::because(FaultKind::BadRequest, "ambiguous_path"));
    let lines = &mut exchange.reply.changes.lines;
    let cors = filters.cors.as_ref();
    (cors.is_some_and(|cors| cors.write(exchange.head, exchange.bytes, lines)), path)
}

/// Calls `use_them` with what the texts of filters take from the request.
pub(crate) fn with_values<'a, T>(
    exchange: &mut Exchange<'a>,
    filters: &Filters,
    record: &mut Record<'a>,
    use_them: impl FnOnce(&Values<'_>, &mut Exchange<'a>) -> T,
) -> T {
    let (head, bytes, listener) = (exchange.head, exchange.bytes, exchange.listener);
    let peer = exchange.connection.peer().ip();
    let mut digits = [0; 32];
    let own_id = hex(record.id(), &mut digits);
    let told_id = told_id(exchange, filters);
    let path = target::path_of(head.path.of(bytes));
    let path = if path.is_empty() { b"/" } else { path };
    let mut scratch = Vec::new();
    let tls = exchange.connection.stream.agreed();
    let values = Values {
        head,
        bytes,
        // A path that cannot be read in one way has found no route.
        path: target::normal_path(path, &mut scratch).unwrap_or(path),
        client: peer.map(|peer| client_address(head, bytes, peer, |ip| listener.trusts(ip))),
        scheme: if tls.is_some() { "https" } else { "http" },
        tls: tls.as_deref(),
        request_id: told_id.unwrap_or(own_id),
        user: exchange.user,
    };
    use_them(&values, exchange)
}

/// The id that a trusted peer has given the request.
fn told_id<'a>(exchange: &Exchange<'a>, filters: &Filters) -> Option<&'a str> {
    let name = filters.request_id.as_ref()?;
    let (head, bytes) = (exchange.head, exchange.bytes);
    exchange.connection.peer().ip().filter(|ip| exchange.listener.trusts(*ip))?;
    let field = head.fields.iter().find(|field| name.is_of(field, bytes))?;
    std::str::from_utf8(field.value.of(bytes)).ok().filter(|id| is_id(id))
}

/// The page that the route or the listener has for an error.
pub(crate) fn error_page<'o>(
    exchange: &Exchange<'_>,
    record: &mut Record<'_>,
    status: u16,
) -> Option<OwnReply<'o>> {
    let filters = exchange.filters?;
    let prefers_json = prefers_json(exchange.head, exchange.bytes);
    let page = filters.error_pages.as_ref()?.find(status, prefers_json)?;
    let id = told_id(exchange, filters);
    Some(OwnReply::of_page(status, page, id.unwrap_or(hex(record.id(), &mut [0; 32]))))
}

/// The same for a head that could not be read: nobody knows more of it.
pub(crate) fn bad_head_page<'o>(
    listener: &Listener,
    record: &mut Record<'_>,
    status: u16,
) -> Option<OwnReply<'o>> {
    let pages = listener.filters.as_ref()?.error_pages.as_ref()?;
    let page = pages.find(status, false)?;
    Some(OwnReply::of_page(status, page, hex(record.id(), &mut [0; 32])))
}

/// The pages that stand for errors of an endpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interception<'a> {
    pages: &'a ErrorPages,
    prefers_json: bool,
}

impl<'a> Interception<'a> {
    fn of(exchange: &Exchange<'a>, filters: &'a Filters) -> Option<Self> {
        let pages = filters.error_pages.as_ref().filter(|pages| pages.intercepts)?;
        Some(Self { pages, prefers_json: prefers_json(exchange.head, exchange.bytes) })
    }

    /// Whether there is a page for a status.
    #[cold]
    pub(crate) fn take(self, status: u16) -> bool {
        self.pages.find(status, self.prefers_json).is_some()
    }
}

fn is_id(text: &str) -> bool {
    let is_char = |b: u8| b.is_ascii_alphanumeric() || b"-_.:/+=@".contains(&b);
    !text.is_empty() && text.len() <= REQUEST_ID_BYTES_MAX && text.bytes().all(is_char)
}

/// As the access log writes it.
pub(crate) fn hex(id: u128, digits: &mut [u8; 32]) -> &str {
    for (at, digit) in digits.iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(id >> (124 - 4 * at)) as usize & 15];
    }
    std::str::from_utf8(digits).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #[test]
    fn ids_are_written_as_in_the_log() {
        let id = 0x0123_4567_89ab_cdef_0000_0000_0000_0001;
        assert_eq!(super::hex(id, &mut [0; 32]), "0123456789abcdef0000000000000001");
    }
}
