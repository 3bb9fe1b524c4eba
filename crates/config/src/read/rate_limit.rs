//! `[rate_limits.NAME]`, and where they are named.

use crate::code;
use crate::declare::{self, Absent, Kind, Setting, Word};
use crate::model::{RateCounts, RateKey, RateLimit, RateTelling};
use crate::quantity;
use crate::read::{header, text};
use crate::reader::{Node, Table, listed};
use crate::report::Report;
use crate::span::Spanned;
use crate::suggest::nearest;

/// A table of 128 MiB.
pub(super) const RATE_KEYS_MAX: u32 = 1 << 22;
const RATE_KEYS: u32 = 65_536;

/// More at once is no limit.
const BURST_MAX: u32 = 1_000_000_000;
const BURST_BYTES_MAX: u64 = 1 << 50;

/// How long it may take until a burst is there again. Who needs longer counts otherwise than in
/// memory, which does not survive a restart.
const BURST_SECONDS_MAX: u64 = 30 * 86_400;

/// More on one listener or route are more than anybody could follow.
const NAMED_MAX: usize = 8;

pub(super) static RATE_LIMIT: declare::Table = declare::Table {
    title: "[rate_limits.NAME]",
    settings: &[
        Setting {
            name: "counts",
            kind: Kind::Choice(COUNTS_WORDS),
            absent: Absent::Default("\"requests\""),
            meaning: "what is limited",
            example: "counts = \"requests\"",
        },
        Setting {
            name: "key",
            kind: Kind::Text("key"),
            absent: Absent::Default("\"client\""),
            meaning: "what has a budget of its own: `client` (an address, of IPv6 a /64), \
                      `client/24` or `client/24/56` (networks, by the bits of IPv4 and IPv6), \
                      `header:NAME`, `cookie:NAME`, or `route` (the route or the listener that \
                      names the limit, as a whole)",
            example: "key = \"client\"",
        },
        Setting {
            name: "rate",
            kind: Kind::Text("rate"),
            absent: Absent::Required,
            meaning: "so many in a second (`s`), minute (`min`), hour (`h`) or day (`d`); of bytes a \
                      size in place of the number, as in `10MB/s`",
            example: "rate = \"100/s\"",
        },
        Setting {
            name: "burst",
            kind: Kind::Either(
                &Kind::Integer { min: 1, max: BURST_MAX },
                &Kind::Size { min: 1, max: BURST_BYTES_MAX },
            ),
            absent: Absent::Otherwise("the number of `rate`"),
            meaning: "how many may come at once after a pause; of bytes a size",
            example: "burst = 20",
        },
        Setting {
            name: "headers",
            kind: Kind::Choice(HEADERS_WORDS),
            absent: Absent::Default("\"denied\""),
            meaning: "which replies have `RateLimit` and `RateLimit-Policy`. A 429 has \
                      `Retry-After` in any case.",
            example: "headers = \"always\"",
        },
        Setting {
            name: "keys",
            kind: Kind::Integer { min: 1, max: RATE_KEYS_MAX },
            absent: Absent::Default("65536"),
            meaning: "how many keys with a used budget are told apart at a time. The table has 32 \
                      bytes for each, rounded up to a power of two, and never grows.",
            example: "keys = 65536",
        },
    ],
    shared: &[],
    notes: include_str!("../../reference/rate_limits.md"),
};

const COUNTS_WORDS: &[Word] = &[
    Word { word: "requests", meaning: "requests of HTTP" },
    Word { word: "connections", meaning: "connections of a listener, as they come" },
    Word {
        word: "bytes",
        meaning: "bytes of bodies and of raw connections, both ways; nothing new begins while \
                  more than the budget has passed",
    },
];

const COUNTS: [(&str, RateCounts); 3] = [
    (RateCounts::Requests.name(), RateCounts::Requests),
    (RateCounts::Connections.name(), RateCounts::Connections),
    (RateCounts::Bytes.name(), RateCounts::Bytes),
];

const HEADERS_WORDS: &[Word] = &[
    Word { word: "denied", meaning: "those that deny a request" },
    Word { word: "always", meaning: "all" },
    Word { word: "never", meaning: "none" },
];

const TELLINGS: [(&str, RateTelling); 3] = [
    ("denied", RateTelling::Denied),
    ("always", RateTelling::Always),
    ("never", RateTelling::Never),
];

/// Where limits are named, on a listener and on a route.
pub(super) const RATE_LIMITS: Setting = Setting {
    name: "rate_limits",
    kind: Kind::OneOrMore(&Kind::Text("name")),
    absent: Absent::Otherwise("none"),
    meaning: "the [rate limits](#rate_limitsname) that hold here, in this order. Those of a listener \
              hold for all of its routes, beside their own.",
    example: "rate_limits = [\"per-client\"]",
};

pub(super) fn read(name: Spanned<&str>, node: Node<'_>, report: &mut Report) -> RateLimit {
    let mut limit = RateLimit::new(name.map(str::to_owned));
    let title = format!("[rate_limits.{}]", name.value);
    let Some(table) = node.table(title, &RATE_LIMIT, report) else {
        return limit;
    };
    let counts = table.get("counts").and_then(|node| node.choice(&COUNTS, report));
    limit.counts = counts.unwrap_or_default();
    if let Some(node) = table.get("key")
        && let Some(read) = key(node, report)
    {
        limit.key = read;
    }
    let telling = table.get("headers").and_then(|node| node.choice(&TELLINGS, report));
    limit.telling = telling.unwrap_or_default();
    let keys = table.get("keys").and_then(|node| node.integer(report));
    limit.keys = keys.map_or(RATE_KEYS, |keys| keys.value);
    let rate = table.require("rate", report).and_then(|node| rate(node, limit.counts, report));
    let burst = table.get("burst").map(|node| (node.span, burst(node, limit.counts, report)));
    let Some((count, seconds)) = rate else { return limit };
    (limit.count, limit.seconds, limit.burst) = (count, seconds, count);
    if let Some((span, Some(burst))) = burst {
        limit.burst = burst;
        let until_there = u128::from(burst) * u128::from(seconds) / u128::from(count);
        if until_there > u128::from(BURST_SECONDS_MAX) {
            let message = "at this rate the burst would take more than 30 days to be there again";
            let help = "write a smaller `burst`, or a higher `rate`";
            report.add(&code::BAD_RATE, span, message, "", help);
        }
    }
    check_fit(&table, &limit, report);
    limit
}

/// What of one table does not go together.
fn check_fit(table: &Table<'_>, limit: &RateLimit, report: &mut Report) {
    if limit.counts != RateCounts::Connections {
        return;
    }
    if let (RateKey::Header(_) | RateKey::Cookie(_), Some(node)) = (&limit.key, table.get("key")) {
        let message = "connections have no headers";
        let help = "write `key = \"client\"` or `key = \"route\"`";
        report.add(&code::RATE_LIMIT_UNFIT, node.span, message, "", help);
    }
    if let Some(span) = table.key_span("headers") {
        let message = "connections are answered without headers";
        report.add(&code::RATE_LIMIT_UNFIT, span, message, "", "remove the line");
    }
}

fn rate(node: Node<'_>, counts: RateCounts, report: &mut Report) -> Option<(u64, u64)> {
    let text = node.string(report)?;
    match quantity::rate(&text.value, counts == RateCounts::Bytes) {
        Ok(rate) => Some(rate),
        Err((message, help)) => {
            report.add(&code::BAD_RATE, text.span, message, "", help);
            None
        }
    }
}

fn burst(node: Node<'_>, counts: RateCounts, report: &mut Report) -> Option<u64> {
    let is_of_bytes = counts == RateCounts::Bytes;
    if is_of_bytes || !node.is_text() {
        let Kind::Either(number, size) = &RATE_LIMIT.setting("burst")?.kind else { return None };
        return match is_of_bytes {
            true => node.of_kind(size).size(report),
            false => node.of_kind(number).integer(report).map(|read| read.value.into()),
        };
    }
    let message = "`burst` is a size, and no bytes are counted";
    let help = "write a number, as in `burst = 20`, or `counts = \"bytes\"`";
    report.add(&code::BAD_RATE, node.span, message, "", help);
    None
}

fn key(node: Node<'_>, report: &mut Report) -> Option<RateKey> {
    let text = node.string(report)?;
    match parse_key(&text.value) {
        Ok(key) => Some(key),
        Err((message, help)) => {
            report.add(&code::BAD_RATE_KEY, text.span, message, "", help);
            None
        }
    }
}

fn parse_key(text: &str) -> Result<RateKey, (String, String)> {
    const WORDS: [&str; 5] = ["client", "client/24", "header:NAME", "cookie:NAME", "route"];
    let named = |name: &str, key: fn(String) -> RateKey| match header::is_token(name) {
        true => Ok(key(name.to_owned())),
        false => Err((
            format!("`{name}` is not a name"),
            "write it as in `header:x-api-key` or `cookie:session`".to_owned(),
        )),
    };
    match text.split_once([':', '/']) {
        None if text == "client" => Ok(RateKey::default()),
        None if text == "route" => Ok(RateKey::Route),
        Some(("header", name)) if text.contains(':') => {
            named(name, |name| RateKey::Header(name.to_ascii_lowercase()))
        }
        Some(("cookie", name)) if text.contains(':') => named(name, RateKey::Cookie),
        Some(("client", bits)) if text.contains('/') => networks(bits),
        _ => {
            let help = match nearest(text, ["client", "route"]) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("the keys are {}", listed(WORDS)),
            };
            Err((format!("`{text}` is not a key"), help))
        }
    }
}

/// The bits of addresses that count: of IPv4, and perhaps of IPv6.
fn networks(text: &str) -> Result<RateKey, (String, String)> {
    let RateKey::Client { v6_bits, .. } = RateKey::default() else {
        return Err((String::new(), String::new()));
    };
    let bits = |text: &str, max: u8| {
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u8>().ok().filter(|bits| is_number && (1..=max).contains(bits))
    };
    let (v4, v6) = match text.split_once('/') {
        Some((v4, v6)) => (bits(v4, 32), bits(v6, 128)),
        None => (bits(text, 32), Some(v6_bits)),
    };
    match (v4, v6) {
        (Some(v4_bits), Some(v6_bits)) => Ok(RateKey::Client { v4_bits, v6_bits }),
        _ => Err((
            format!("`{text}` are not the bits of networks"),
            "write 1 to 32 for IPv4, and behind another slash 1 to 128 for IPv6, as in \
             `client/24` or `client/24/56`"
                .to_owned(),
        )),
    }
}

/// The names of the limits that hold somewhere.
pub(super) fn named(table: &Table<'_>, report: &mut Report) -> Vec<Spanned<String>> {
    let nodes = table.get("rate_limits").and_then(|node| node.one_or_more(report));
    let nodes = nodes.unwrap_or_default();
    if let Some(node) = nodes.get(NAMED_MAX) {
        let message = format!("{} names more than {NAMED_MAX} rate limits", table.title());
        report.add(&code::OUT_OF_RANGE, node.span, message, "", "remove some");
    }
    nodes.into_iter().take(NAMED_MAX).map(|node| text::reference(node, report)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_a_few_forms() {
        let client = |v4_bits, v6_bits| Ok(RateKey::Client { v4_bits, v6_bits });
        let wrong = |message: &str| Err(message.to_owned());
        for (text, expected) in [
            ("client", client(32, 64)),
            ("client/24", client(24, 64)),
            ("client/24/56", client(24, 56)),
            ("route", Ok(RateKey::Route)),
            ("header:X-Api-Key", Ok(RateKey::Header("x-api-key".to_owned()))),
            ("cookie:SID", Ok(RateKey::Cookie("SID".to_owned()))),
            ("client/0", wrong("`0` are not the bits of networks")),
            ("client/33", wrong("`33` are not the bits of networks")),
            ("client/24/129", wrong("`24/129` are not the bits of networks")),
            ("client/+24", wrong("`+24` are not the bits of networks")),
            ("client/", wrong("`` are not the bits of networks")),
            ("client:24", wrong("`client:24` is not a key")),
            ("header:", wrong("`` is not a name")),
            ("header/x", wrong("`header/x` is not a key")),
            ("cookie:a b", wrong("`a b` is not a name")),
            ("ip", wrong("`ip` is not a key")),
            ("", wrong("`` is not a key")),
        ] {
            let found = parse_key(text);
            if let Ok(key) = &found {
                assert_eq!(parse_key(&key.to_string()).as_ref(), Ok(key), "{text}");
            }
            assert_eq!(found.map_err(|(message, _)| message), expected, "{text}");
        }
    }
}
