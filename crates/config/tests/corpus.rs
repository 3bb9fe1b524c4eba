//! The fuzz target of the configuration, run with a stable compiler over its corpus.

#[path = "../../../fuzz/checks/config.rs"]
mod check;
#[path = "../../../fuzz/replay.rs"]
mod replay;

/// Pieces of configurations.
const WORDS: &[&str] = &[
    "\n",
    "\r\n",
    "\r",
    "\t",
    "=",
    ".",
    ",",
    "\"",
    "'",
    "\"\"\"",
    "'''",
    "[",
    "]",
    "{",
    "}",
    "#",
    "[listeners.web]\n",
    "[upstreams.app]\n",
    "[[routes]]\n",
    "[admin]\n",
    "bind = \":8080\"\n",
    "upstream = \"app\"\n",
    "listener = \"web\"\n",
    "path = \"/v1/*\"\n",
    "host = \"a.example\"\n",
    "endpoints = [\"127.0.0.1:9001\"]\n",
    "weight = 3",
    "address = \"unix:/a.sock\"",
    "[access_log]\n",
    "template = \"{client} {request.x} {{",
    "hide_query = [\"*token\"]\n",
    "true",
    "1979-05-27T07:32:00Z",
    "0x7fffffffffffffff",
    "-1",
    "1e400",
    "nan",
    "\\u0000",
    "\\U0010FFFF",
    "\u{feff}",
    "é",
    "\u{202e}",
    "\u{1b}[31m",
];

#[test]
fn config() {
    replay::replay("config", WORDS, check::check);
}
