//! Every diagnostic code, with the paragraph that `fairwater explain CODE` prints. A code is never
//! reused or renumbered: people search for them. The first two digits are the group.

/// What kind of problem a diagnostic is about.
#[derive(Debug, PartialEq, Eq)]
pub struct Code {
    pub id: &'static str,
    /// One paragraph: what the rule is, why it is there, and what to do.
    pub explanation: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// The configuration works, and is probably not what was meant.
    Warning,
}

impl Code {
    /// Told by the letter, so that the two can never disagree.
    pub fn severity(&self) -> Severity {
        if self.id.starts_with('W') { Severity::Warning } else { Severity::Error }
    }
}

/// The code of this id, in either case.
pub fn explain(id: &str) -> Option<&'static Code> {
    CODES.iter().copied().find(|code| code.id.eq_ignore_ascii_case(id))
}

macro_rules! codes {
    ($($name:ident = $id:literal, $explanation:literal;)*) => {
        $(pub(crate) static $name: Code = Code { id: $id, explanation: $explanation };)*

        /// Every code, in the order of the groups.
        pub static CODES: &[&Code] = &[$(&$name),*];
    };
}

// 00: the file as such. 01: names. 02: single values. 03: listeners. 04: routes. 05: upstreams.
// 06: tests. 07: the access log. 08: apps. 09: TLS. 10: the PROXY protocol. 11: rate limits.
// 12: messages over TCP. 13: UDP.
codes! {
    FILE_TOO_LARGE = "E0001",
        "A configuration file has at most 8 MiB, which is room for some 80 000 routes. Nothing of a \
         larger file is read, since it is most likely not a configuration: check the path. Nor does \
         `fairwater fmt` write a larger one.";
    NOT_UTF8 = "E0002",
        "A TOML file is UTF-8 text. The byte that is pointed at is none: the file was saved in \
         another encoding (UTF-16, Latin-1), or is not a text file. Save it as UTF-8.";
    SYNTAX = "E0003",
        "The file is not valid TOML, so that its settings are not looked at until this is mended. \
         Strings stand in quotes, `key = value` takes one line, and a table (`[name]`) or a key may \
         be written only once. TOML is described at https://toml.io.";
    MORE_ERRORS = "E0004",
        "At most 100 errors of a file are shown. The rest is counted only: mend the ones that are \
         shown and check again.";
    CANNOT_INCLUDE = "E0005",
        "A file that `include` names cannot be read, or there are too many of them. Names are \
         relative to the file that has the `include`; `*` stands for any part of a file's name, and \
         stands in the last part of a path only. At most 1000 files are read, 8 deep.";
    INCLUDED_TWICE = "E0006",
        "A file is included by more than one `include`, or includes itself over others. Its tables \
         would be there twice. Name it once.";
    SET_TWICE = "E0007",
        "Two files set the same thing, and neither is the more important one: the order of files is \
         no rule that anybody could read. Remove one of the two, or give a table another name.";
    INCLUDES_NOTHING = "W0002",
        "No file matches this pattern of `include`. That is no error, since a directory of sites may \
         be empty; often it is a slip in the path.";
    MORE_WARNINGS = "W0001",
        "At most 100 warnings of a file are shown. The rest is counted only.";
    UNKNOWN_KEY = "E0101",
        "There is no setting of this name in this table. It is an error, since a misspelt setting \
         would silently have no effect. Correct the name, move it to the table that it belongs to, \
         or remove the line.";
    MISSING_KEY = "E0102",
        "This table needs a setting for which no default would make sense. Add it.";
    BAD_NAME = "E0103",
        "The names of listeners, upstreams and apps appear in logs, in metrics and in references, so they \
         consist of ASCII letters, digits, `_`, `-` and `.`, and have at most 128 characters.";
    UNKNOWN_UPSTREAM = "E0104",
        "A listener or a route sends to an upstream that the configuration does not define. Correct \
         the name, or add a table [upstreams.NAME] with its endpoints.";
    UNKNOWN_LISTENER = "E0105",
        "A route belongs to a listener that the configuration does not define. Correct the name, or \
         add a table [listeners.NAME] with the address to listen on.";
    WRONG_TYPE = "E0201",
        "The value has another type than the setting. Strings stand in double quotes, numbers and \
         true or false without; lists stand in [brackets].";
    OUT_OF_RANGE = "E0202",
        "The number is outside of what the setting allows, or the text is longer than that. The \
         message names the bounds.";
    UNKNOWN_CHOICE = "E0203",
        "The setting takes one of a few words, and this is none of them. The help line lists them.";
    BAD_ADDRESS = "E0204",
        "This is not an address. Endpoints are HOST:PORT, 1.2.3.4:PORT, [::1]:PORT, tcp://HOST:PORT, \
         http://HOST, srv://NAME or unix:/PATH. Listeners take the same, and :PORT for all addresses of the \
         machine, but no host names. The port is never guessed, and an address has no path.";
    BAD_NETWORK = "E0205",
        "This is not a network in CIDR notation. Write an address and the number of leading bits \
         that count, as in 10.0.0.0/8 or fd00::/8; the bits behind them are 0. A bare address is a \
         network of one.";
    BAD_HOST = "E0206",
        "This is not a host name. It is written without scheme, port and path; international names \
         are written in their ASCII form (xn--...). `*.example.com` is every host below it, and no \
         `host` at all every host.";
    BAD_PATH = "E0207",
        "This is not a path that a route can match. `/x` matches exactly, `/x/*` matches /x and \
         everything below it, `/x/{name}` any one segment, and no path at all everything. Requests are compared in their \
         normal form, without query, decoded and without dot segments, so a path that is written \
         otherwise would never match.";
    BAD_FILE_PATH = "E0208",
        "This cannot be the path of a file, a directory or a Unix socket. Directories are absolute, since \
         nobody knows where a process is started. Socket paths are absolute and have \
         at most 107 bytes, which is what the kernel takes.";
    EMPTY_LIST = "E0209",
        "The list needs at least one element: a listener without addresses can receive nothing, and \
         an upstream without endpoints can answer nothing.";
    BAD_VARIABLE = "E0210",
        "`${NAME}` in a text is replaced by the variable NAME of the environment, and \
         `${NAME:-text}` by `text` if it is not set or empty. Without a default it must be set: an \
         empty text would hide the mistake. `$${` stands for the characters `${` themselves.";
    BAD_HEADER = "E0211",
        "The name of a header has ASCII letters, digits and a few signs, and no blanks; its value has \
         no line ends and no control characters.";
    BAD_METHOD = "E0212",
        "This is not the method of a request. Methods are words such as GET or POST, and their case \
         counts: `get` is another method, which nobody sends.";
    BAD_DURATION = "E0213",
        "A duration is a whole number and its unit: ms, s, m, h or d, as in \"250ms\" or \"10s\". A bare \
         number is refused, since nobody could tell whether seconds or milliseconds were meant.";
    FIXED_HEADER = "E0214",
        "Headers that frame a message, speak of one connection, or say who the client is are written \
         by Fairwater itself: an edit of them could be used to smuggle requests or to deceive an \
         endpoint. The help line says where the same is set.";
    BAD_TEMPLATE = "E0215",
        "In this text `{name}` stands for something of the request: `{client}`, `{scheme}`, `{host}`, \
         `{method}`, `{path}`, `{query}`, `{target}` (path and query), `{request_id}`, `{user}`, \
         `{header.NAME}`, the captures of the route's path, and `{rest}` for its `*`. For a brace write `{{` or `}}`. \
         Paths and targets are written as URLs have them.";
    BAD_SIZE = "E0216",
        "A size is a whole number and its unit: B, KB, MB, GB (powers of 1000) or KiB, MiB, GiB (powers \
         of 1024), as in \"64KiB\". A bare number is refused, since nobody could tell what was meant.";
    BAD_PASSWORD = "E0217",
        "Passwords are kept as hashes that are slow to guess: bcrypt ($2y$, $2a$, $2b$) up to a cost of \
         15, or SHA-crypt ($5$, $6$) up to 1000000 rounds. `fairwater hash-password` makes one of what \
         it reads, `htpasswd -nB NAME` and `openssl passwd -6` ask for it. Plain passwords, MD5, SHA-1 \
         and DES are refused: who gets hold of the file would have the passwords within hours.";
    BAD_USER = "E0218",
        "A user of `basic_auth` has a name, once, without a colon (which ends it in a request) and \
         without control characters. In a file each line is NAME:HASH; lines that begin with # and \
         empty ones count for nothing.";
    CANNOT_READ = "E0219",
        "A setting names a file that cannot be read, is too large, or is not UTF-8 text. Its path is \
         relative to the file that has the setting, and is read when the configuration is.";
    BAD_ORIGIN = "E0220",
        "Browsers name the origin of a page as SCHEME://HOST, with :PORT if it is not the usual one of \
         the scheme, in lower case and without a path: what is written otherwise would never be one. \
         `https://*.example.com` is every host below it, and `*` every origin. `null` is what any page \
         can make itself, so it is refused, and so is `*` where credentials are sent along.";
    BAD_ERROR_PAGE = "E0221",
        "An error page is a file for a status (404) or for all of a class (4xx, 5xx), whose name ends \
         with .html, .json or .txt: that tells the type of its content. A status may have one page of \
         each format; clients that prefer JSON get that one.";
    BAD_WATERMARK = "E0229",
        "From a watermark on load is shed. It is percent of what there is, 1% to 99%, and of memory also \
         a size: what the process takes without any connection must be below it, or all requests \
         would be refused. `off` sets none.";
    LISTENER_UNUSED = "E0301",
        "The listener would accept connections that go nowhere. Give it an `upstream`, which takes \
         everything, or for HTTP at least one [[routes]] with its name. A TCP listener has no \
         requests to route by, and always needs `upstream`.";
    BIND_TWICE = "E0302",
        "Two listeners would wait on one address, and the kernel would spread connections over both \
         at random, or give them to whichever is more specific. `:80` is all addresses, and so has \
         `127.0.0.1:80` and `[::]:80` among them. Merge the listeners, or change a port.";
    OTHER_PROTOCOL = "E0303",
        "This setting belongs to listeners of another protocol: `on_error` and `idle` to \
         `protocol = \"tcp\"` and `\"framed\"`, where there are no responses to carry an error, \
         `trusted_proxies` to `protocol = \"http\"`, where there are headers, `frame` to \
         `protocol = \"framed\"`, where there are messages, and `max_flows` to \
         `protocol = \"udp\"`, which in turn has nothing of what belongs to connections, such as TLS.";
    NO_LISTENER = "E0304",
        "A configuration without a listener does nothing. Add a table [listeners.NAME] with `bind` \
         and `upstream`, and a table [upstreams.NAME] with `endpoints`.";
    ROUTE_TWICE = "E0401",
        "Two routes of a listener have the same host, path and conditions, so that one of them could \
         never be taken. Names of captures make no difference. An `upstream` of the listener itself counts as a route without host and \
         path. Remove one of the two, or change its host, path or conditions.";
    ROUTE_ON_TCP = "E0402",
        "A TCP listener sees no requests. All that its routes can decide by is the `host` that a TLS \
         client asks for; clients that ask for none of them go to the `upstream` of the listener.";
    TWO_DESTINATIONS = "E0403",
        "A request goes to an `upstream`, or it is answered by `redirect` or `respond`. A listener and \
         a route have one of the three.";
    BAD_TEST = "E0601",
        "A test is `request = \"GET http://example.com/path\"`, with `headers`, `client` and `listener` \
         where they matter, and `expect` with at least one of `upstream`, `path`, `status` and `location`.";
    TEST_FAILED = "E0602",
        "A request of [[tests]] does not become what the test expects. Either the configuration is wrong, \
         or the test is: `fairwater explain URL` shows which route takes a request and why.";
    ENDPOINT_TWICE = "E0501",
        "An endpoint is known by its address, however it is spelt, and appears once in an upstream. \
         For a larger share of the traffic give it a `weight`.";
    NO_WEIGHT = "E0502",
        "An endpoint of weight 0 takes no traffic. When all have weight 0, the upstream could answer \
         nothing: give at least one of them a weight above 0.";
    BAD_CHECK = "E0503",
        "This cannot be a check of endpoints, or what it says of them makes no sense: a path begins with \
         `/`, statuses are from 200 to 599, bytes behind `hex:` are pairs of hexadecimal digits, and what \
         is part of another time cannot be longer. Settings that belong to another `type` are refused, \
         since they would silently have no effect.";
    NOTHING_TO_CHECK = "E0504",
        "A check of another port needs a host with ports, and a Unix socket has none. Give the endpoint \
         an address for its checks, as in `{ address = \"unix:/run/app.sock\", check = \
         \"127.0.0.1:9000\" }`. An agent is asked on the host of an endpoint, so that all of them need \
         one.";
    BAD_RETRY = "E0505",
        "This cannot be what requests are tried again for. Statuses are from 400 to 599: what is below \
         says that nothing is wrong. List those with which an endpoint says that it has done nothing, or \
         that another could do better, such as 502, 503 and 504.";
    NO_RETRIES = "W0502",
        "With `retries = 0` a request is sent once, so that what says when and how it would be sent again \
         has no effect.";
    BAD_STICKY = "E0507",
        "Sessions cannot stay like this: no browser would keep the cookie, its secret could be guessed, \
         or another setting wants what `sticky` decides. A cookie has a name of letters, digits, `-` and \
         `_`, its path begins with `/`, and a secret has at least 32 characters, as `openssl rand -hex \
         32` makes them. Names that begin with `__Host-` or `__Secure-` are kept by browsers only if \
         they are always `Secure`, the former without `domain` and `path`.";
    ALWAYS_PANIC = "W0501",
        "With a panic threshold of 100 one bad endpoint is enough to have all of them used, bad ones \
         included: health has no effect then. 50 is usual where such a threshold is wanted at all.";
    STICKY_ON_TCP = "W0504",
        "Raw TCP and UDP have no cookies, so that `sticky` by cookie does nothing for a listener of \
         either: its connections go where `balance` says. Use `sticky = \"address\"` to keep clients \
         with an endpoint there.";
    NO_LIMIT = "W0506",
        "A queue is for those who wait for room at `max_concurrency` (of an upstream or of its \
         endpoints) or at `max_connections`; without such a limit nobody waits, however long the queue \
         may be. Messages wait at `max_connections_per_endpoint` as well, and for each connection that \
         is opened for them, so that nothing is said where they go. `priority` says who gets room first at `max_concurrency`, and that alone.";
    ONE_ENDPOINT = "W0508",
        "A retry goes to another endpoint, and this upstream has but one, by an address that stands for \
         no others. Add an endpoint (one with `backup = true` is tried as well), or remove what says \
         when there are retries. `retry_unsafe` counts even so: requests that were lost on a connection \
         which had been idle are sent again to the same endpoint. Nothing is said of it where an admin \
         socket may bring further endpoints.";
    NOT_ON_TCP = "W0509",
        "Only listeners of TCP or UDP send to this upstream, where there are no requests of HTTP to read \
         before an endpoint is picked, and no statuses to judge an endpoint by. A connection that \
         cannot be opened is tried at another endpoint, as often as `retries` says. So is a message \
         that was not delivered, and with `retry_unsafe = true` one that may have been; it has no \
         field that could say so of itself.";
    LATE_TRY = "W0510",
        "With `try_timeout` an endpoint is given up for another one before `response_timeout` ends the \
         request. Where it is not shorter, the request is over by then, and no other is tried. A \
         `response_timeout` of a route counts as well.";
    GRPC_WITHOUT_HTTP2 = "W0505",
        "Calls of gRPC need HTTP/2. To endpoints in clear HTTP/1.1 is spoken unless their upstream says \
         `http2 = true`, and with `http2 = false` over TLS as well. Calls would fail there, while a \
         check by gRPC, which asks over HTTP/2 in any case, finds the endpoints good.";
    BAD_LOG_TEMPLATE = "E0701",
        "The template of the access log is text with fields in braces, as in `{client} {status}`. \
         `{request.NAME}` and `{response.NAME}` are headers; `{{` and `}}` stand for the braces \
         themselves. It is one line, and has at least one field.";
    SECRET_FIELD = "E0702",
        "Logs are copied, kept and read by more people than may know what is in this header: \
         credentials, session cookies, keys. Whoever has them can act for the user. Log something \
         that only tells users apart, such as a header with the name or the number of the user.";
    FORMAT_AND_TEMPLATE = "E0703",
        "`template` is a format of its own, and `format` names another one. Only `format = \"off\"` \
         may stand beside a template, to switch the log off for a while.";
    BAD_PARAMETER = "E0704",
        "`hide_query` lists names of parameters as they are when decoded, without their values. \
         Case, `-` and `_` make no difference. Of a name with brackets or dots, such as \
         `user[password]`, each word counts by itself: list the word. `*` may stand at the \
         beginning, for any beginning.";
    SHOWS_SECRETS = "W0701",
        "`hide_query` takes the place of what is hidden without it, and this list hides neither \
         tokens nor passwords in queries. Add \"default\" to keep hiding those, with your own names \
         beside it.";
    UNKNOWN_APP = "E0106",
        "An upstream takes its endpoints from an app that the configuration does not define. Correct \
         the name, or add a table [apps.NAME] with its command.";
    BAD_COMMAND = "E0801",
        "The command of an app is the program and its arguments, each a text of its own, without a \
         shell: `[\"php\", \"server.php\", \"{socket}\"]`. `{socket}` stands for the Unix socket of a \
         process, or with `address = \"port\"` `{port}` for its port; `{index}` counts the processes \
         from 0. Variables of `env` have names without blanks and `=`.";
    NO_RUN_DIR = "E0802",
        "The processes of an app listen on Unix sockets below `run_dir`, which is not set, or whose path \
         is so long that their paths would have more than the 107 bytes that the kernel takes. Set \
         `run_dir` at the top level, or `address = \"port\"` for ports of the loopback address.";
    BAD_TLS = "E0901",
        "A certificate, a key, an authority or a list of revoked certificates cannot be used, or TLS \
         misses one of them. Files are PEM: text between `-----BEGIN ...-----` and `-----END ...-----`. \
         A certificate stands before those that lead to its authority, and the key is the one that it \
         was requested with, without a password.";
    BAD_FINGERPRINT = "E0902",
        "A fingerprint is the SHA-256 of a certificate: 64 hexadecimal digits, or pairs of them with \
         colons between. `openssl x509 -in FILE -noout -fingerprint -sha256` prints it behind the `=`. \
         SHA-1 is refused: other certificates with the same one can be made.";
    SKIPS_VERIFICATION = "W0901",
        "With `insecure_skip_verify` an endpoint may show any certificate, so that whoever gets between \
         can read and change everything. Use it to find a mistake, not to live with one: name the \
         authority of the certificates with `ca`.";
    CERTIFICATE_EXPIRES = "W0902",
        "A certificate is not good any more, or will not be within 30 days: clients refuse to connect \
         from then on. It is no error, so that a machine that starts again serves what it can.";
    KEY_IS_OPEN = "W0903",
        "The file of a private key can be read by others than its owner and its group. Whoever has the \
         key can pass for this server: `chmod 640`, or 600.";
    MADE_UP = "W0904",
        "With `tls = \"dev\"` a listener shows a certificate that is made when the process starts, for \
         localhost, this machine and the hosts of its routes. No client has a reason to trust it: \
         `curl -k` does without, and so does whoever gets between. `openssl s_client -connect \
         HOST:PORT </dev/null | openssl x509 > dev.pem` and `curl --cacert dev.pem` trust the one of \
         this process. Set `cert` and `key` before others use it.";
    NOT_KEPT_ALIVE = "W1001",
        "With `proxy_protocol` a connection to an endpoint begins with the address of one client, so that \
         no request of another may be sent over it. Each request has a connection of its own, and \
         `keep_alive = true` has no effect.";
    UNKNOWN_RATE_LIMIT = "E1101",
        "A listener or a route names a rate limit that the configuration does not define. Correct the \
         name, or add a table [rate_limits.NAME] with its `rate`.";
    BAD_RATE = "E1102",
        "A rate is a whole number above 0 in a second, minute, hour or day, as in \"100/s\", \"5/min\", \
         \"1000/h\" or \"1/d\"; of bytes a size, as in \"10MB/s\". `burst`, how much may come at once, is a \
         number, or of bytes a size, which at that rate is there again within 30 days.";
    BAD_RATE_KEY = "E1103",
        "A rate limit counts by `client`, `client/BITS` or `client/BITS/BITS` (networks of IPv4 and \
         IPv6), by the value of a header (`header:NAME`) or a cookie (`cookie:NAME`), or all together \
         (`route`).";
    RATE_LIMIT_UNFIT = "E1104",
        "A rate limit is named where what it counts is not seen, so that it would have no effect: \
         connections are counted by listeners, before there is a request, a route or a header; a TCP \
         listener sees no requests, and a route of it counts nothing. Of UDP flows are counted, as connections are.";
    RATE_LIMIT_UNUSED = "W1101",
        "No listener and no route names this rate limit, so that nothing is limited by it. That is \
         often the trace of a misspelt name. Name it in `rate_limits`, or remove it.";
    BAD_FRAME = "E1201",
        "This does not say how messages are told apart, or says it twice. `frame` is a preset such as \
         \"swoole\", or a table with one of `length`, `delimiter`, `line`, `fixed` and `eof`. A number \
         that is a length ends within the first 64 bytes of a message and is written as `u32be` or \
         another size and order, `varint`, or `ascii4`; the codes of pack() are known too, but not \
         `i` and `I`, whose size is that of the machine. The words of Swoole (`open_length_check` and \
         its kin) say the same and stand for `frame`, not beside it.";
    BAD_MESSAGE = "E1202",
        "These bytes cannot be sent as a message. A text becomes the body of one, so that it must have \
         room in it, and no end of a message within. Bytes behind `hex:`, or in `{ hex = \"0d0a\" }`, \
         are pairs of hexadecimal digits and go out as they are. What a heartbeat is compared with has \
         to be one whole message, or no message ever is that heartbeat.";
    NO_KEY = "E1203",
        "With `balance = \"key_hash\"` an upstream picks endpoints by the key of each message. Only \
         listeners with `protocol = \"framed\"` have messages, and only if they say where the key is: \
         `key = { offset = 4, length = 8 }`.";
    SHARED_AND_ANNOUNCED = "E1204",
        "A connection that begins with the PROXY protocol is of the client that is named there, and \
         messages of all clients share the connections to endpoints: they would all pass for one. \
         `identity` tells endpoints in each message whose it is; with `mode = \"connection\"` each \
         client has a connection of its own, which may be announced.";
    BAD_POOL = "E1205",
        "More connections would be kept open than may be open. `min_connections` is for each endpoint, \
         as `max_connections_per_endpoint` is; `max_connections` is for all of them.";
    SMALL_POOL = "W1201",
        "A message needs a connection to an endpoint for itself until it has its reply, so that with \
         fewer connections than endpoints some endpoints have nothing to do while messages wait. \
         Endpoints that have several workers and give each connection to one of them, as Swoole does \
         by default, need as many connections as workers.";
    NO_EFFECT_IN_MODE = "W1202",
        "This setting has no effect in this `mode` of a listener: with \"connection\" messages are not \
         looked at, with \"oneway\" there are no replies, and nothing is sent in place of one. Where \
         messages share connections none of these is half closed.";
    NOT_FOR_MESSAGES = "W1203",
        "This setting is for the connections that messages share. No listener with `protocol = \
         \"framed\"` sends to this upstream, or only one with `mode = \"connection\"`, so that it has no \
         effect.";
    NOTHING_TO_SHARE = "W1204",
        "With `pipeline` a connection takes a further message while it waits for replies, but only when \
         no further connection may be opened: one of its own serves a message better. Without \
         `max_connections` or `max_connections_per_endpoint` in the upstream that never happens.";
    NO_WHOLE_MESSAGE = "W1205",
        "These bytes go out as they are, and whoever gets them reads messages: clients by `reply_frame`, \
         endpoints by `frame`. What is too short, too long or none leaves them waiting for the rest, or \
         looking for the next message in the wrong place. What a client gets in place of a reply is one \
         message, and what a connection begins with are one or several, each with its length or its \
         delimiter. The texts of `on_error` and `ping` become messages by themselves; those of \
         `on_connect` do not. If the other side reads something else there, nothing is wrong.";
    KEY_UNUSED = "W1206",
        "The `key` of a listener says which bytes of a message decide where it goes, and only upstreams \
         with `balance = \"key_hash\"` go by it. None of those that this listener sends to does, so that \
         messages with one key are spread over all endpoints.";
    NO_DATAGRAMS = "E1301",
        "Datagrams go from one address with a port to another. Unix sockets, TLS, version 1 of the PROXY \
         protocol and the processes of apps are for connections. Give a listener for UDP addresses with \
         ports, and an upstream that has none of the others.";
    ROUTE_ON_UDP = "E1302",
        "A listener for UDP sees datagrams, of which nothing tells what they are: there is nothing that \
         routes could decide by. All of them go to the `upstream` of the listener.";
    UDP_LOOP = "E1303",
        "An endpoint of a listener for UDP is the listener itself. Each datagram would come back as \
         one of a new client, and go round until the end of time: unlike a request it has no place \
         for a mark that it was here before. Write the address of who answers.";
    APP_UNUSED = "W0104",
        "No upstream takes its endpoints from this app, which is started nevertheless. That is harmless, \
         and often the trace of a forgotten upstream or of a misspelt name. Name it in an upstream with \
         `apps = \"NAME\"`, or remove it.";
    UPSTREAM_UNUSED = "W0101",
        "No listener and no route sends to this upstream. That is harmless, and often the trace of a \
         forgotten route or of a misspelt name. Use it or remove it.";
    TRUSTS_EVERYBODY = "W0102",
        "Trusted proxies may say in X-Forwarded-For who the client is, and the peers of \
         `proxy_protocol` in the header of a connection. With a network of prefix 0 everybody may, so that logs, limits and access rules can be deceived by any client. List \
         the networks of your own proxies.";
    RELAXED_RESPONSES = "W0103",
        "Relaxed parsing accepts replies with bare line feeds and folded headers. Two programs may \
         then see different ends of one reply, which is how responses are smuggled. It is meant for \
         endpoints that cannot be mended; do not set it for endpoints that others control.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_well_formed() {
        let mut seen = std::collections::HashSet::new();
        for code in CODES {
            assert!(seen.insert(code.id), "{} is there twice", code.id);
            let (letter, digits) = code.id.split_at(1);
            assert!(matches!(letter, "E" | "W"), "{}", code.id);
            assert!(digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit()), "{}", code.id);
            assert!(code.explanation.ends_with('.'), "{}", code.id);
        }
    }

    #[test]
    fn codes_are_found_in_either_case() {
        assert_eq!(explain("e0104"), Some(&UNKNOWN_UPSTREAM));
        assert_eq!(explain("E9999"), None);
    }
}
