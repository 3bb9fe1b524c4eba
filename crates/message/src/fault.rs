//! Why an exchange failed, whose fault it is, in which phase, and which status the client gets:
//! the one table of it. The access log and the counters use the same words.

use crate::GrpcCode;

/// Who caused a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    Downstream,
    Proxy,
    Upstream,
}

/// How far an exchange had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Reading the request head.
    Request,
    /// Deciding where it goes.
    Route,
    /// Getting a connection to an endpoint.
    Connect,
    /// Sending the request and waiting for the response head.
    Response,
    /// Relaying the body.
    Body,
}

macro_rules! fault_kinds {
    ($(
        $(#[$doc:meta])*
        $variant:ident = ($reason:literal, $party:ident, $phase:ident, $status:literal)
    ),+ $(,)?) => {
        /// The kinds of fault. The reason is what logs and metrics call it; status 0 means that no
        /// response can be made any more (or that none is due) and the connection is closed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum FaultKind { $($(#[$doc])* $variant),+ }

        impl FaultKind {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            pub const fn reason(self) -> &'static str {
                match self { $(Self::$variant => $reason),+ }
            }

            pub const fn party(self) -> Party {
                match self { $(Self::$variant => Party::$party),+ }
            }

            pub const fn phase(self) -> Phase {
                match self { $(Self::$variant => Phase::$phase),+ }
            }

            /// The status that a client gets where a response can still be made.
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status),+ }
            }
        }
    };
}

fault_kinds! {
    /// The request breaks the grammar or is ambiguous.
    BadRequest = ("bad_request", Downstream, Request, 400),
    /// TLS: nothing in common, a certificate that is not taken, or no TLS at all.
    HandshakeFailed = ("tls_handshake_failed", Downstream, Request, 0),
    /// The TLS handshake was not complete in time.
    HandshakeTimeout = ("tls_handshake_timeout", Downstream, Request, 0),
    /// More handshakes than may wait for others.
    HandshakesBusy = ("tls_handshakes_busy", Proxy, Request, 0),
    /// The header of the PROXY protocol is missing, or breaks its rules.
    BadProxyHeader = ("bad_proxy_header", Downstream, Request, 0),
    ProxyHeaderTimeout = ("proxy_header_timeout", Downstream, Request, 0),
    /// Only peers that are believed about clients are let in.
    UnknownPeer = ("unknown_peer", Downstream, Request, 0),
    /// What came is not HTTP at all: nothing is answered.
    NotHttp = ("not_http", Downstream, Request, 0),
    /// An HTTP/2 client makes much work with few bytes.
    Http2Flood = ("http2_flood", Downstream, Request, 0),
    /// An HTTP/2 client breaks the rules of the protocol, so that its connection ends.
    Http2Error = ("http2_error", Downstream, Request, 0),
    /// An HTTP/2 client asks for more at a time than it may.
    Http2Busy = ("http2_busy", Downstream, Request, 0),
    /// A message has no length, or one that it may not have.
    BadFrame = ("bad_frame", Downstream, Request, 0),
    /// The rest of a message did not come in time, or nothing of a long one for too long.
    FrameTimeout = ("frame_timeout", Downstream, Request, 0),
    HeadTimeout = ("request_head_timeout", Downstream, Request, 408),
    TargetTooLong = ("target_too_long", Downstream, Request, 414),
    HeadTooLarge = ("head_too_large", Downstream, Request, 431),
    ExpectationFailed = ("expectation_unknown", Downstream, Request, 417),
    MethodRefused = ("method_refused", Downstream, Request, 405),
    TransferCodingUnknown = ("transfer_coding_unknown", Downstream, Request, 501),
    /// An extended CONNECT for a protocol that nobody here speaks (RFC 9220, section 3).
    TunnelUnknown = ("tunnel_protocol_unknown", Downstream, Request, 501),
    VersionUnsupported = ("version_unsupported", Downstream, Request, 505),
    NoRoute = ("no_route", Proxy, Route, 404),
    /// A reload has taken the listener of this connection away.
    ListenerGone = ("listener_gone", Proxy, Route, 503),
    /// The client's address is not let in.
    AccessDenied = ("access_denied", Downstream, Route, 403),
    /// A page of an origin that is not let in asks what it may do.
    OriginRefused = ("origin_refused", Downstream, Route, 403),
    /// The client, or whatever a rate limit counts, is beyond it.
    RateLimited = ("rate_limited", Downstream, Route, 429),
    /// No credentials, or wrong ones.
    Unauthorized = ("unauthorized", Downstream, Route, 401),
    /// More passwords wait to be checked than may.
    PasswordsBusy = ("passwords_busy", Proxy, Route, 503),
    /// Memory or descriptors run short.
    Overloaded = ("overloaded", Proxy, Route, 503),
    Loop = ("loop_detected", Downstream, Route, 508),
    /// Nothing of the upstream could be picked: it has no endpoint that takes traffic.
    NoEndpoint = ("no_endpoint", Upstream, Connect, 503),
    /// Most requests to the upstream have failed, and it is left alone for a while.
    CircuitOpen = ("circuit_open", Upstream, Connect, 503),
    /// `max_connections` or `max_concurrency` is reached and nothing became free in time.
    UpstreamFull = ("upstream_full", Upstream, Connect, 503),
    ConnectRefused = ("upstream_connect_refused", Upstream, Connect, 503),
    ConnectTimeout = ("upstream_connect_timeout", Upstream, Connect, 503),
    /// TLS with the endpoint: nothing in common, or a certificate that is not trusted.
    UpstreamHandshake = ("upstream_tls_handshake_failed", Upstream, Connect, 502),
    ConnectFailed = ("upstream_connect_failed", Upstream, Connect, 503),
    /// The endpoint closed without a byte of a reply.
    EmptyReply = ("upstream_empty_reply", Upstream, Response, 502),
    ReplyReset = ("upstream_reset", Upstream, Response, 502),
    BadReply = ("upstream_bad_reply", Upstream, Response, 502),
    ReplyHeadTooLarge = ("upstream_head_too_large", Upstream, Response, 502),
    /// A WebSocket for an endpoint that speaks HTTP/2 and has none over it (RFC 8441).
    NoWebSocket = ("upstream_no_websocket", Upstream, Response, 502),
    /// The client of a call waits no longer (`grpc-timeout`).
    DeadlineExceeded = ("grpc_deadline_exceeded", Downstream, Response, 504),
    /// The endpoint has answered a call with a status that the configuration tries again.
    CallRefused = ("upstream_grpc_status", Upstream, Response, 502),
    /// The endpoint has answered with a status that the configuration tries again.
    StatusRefused = ("upstream_status", Upstream, Response, 502),
    /// No head of a reply within `try_timeout`, and there is another endpoint.
    TryTimeout = ("upstream_try_timeout", Upstream, Response, 504),
    /// The host of the endpoint acknowledges nothing of the request.
    Unheard = ("upstream_unheard", Upstream, Response, 504),
    ResponseTimeout = ("upstream_response_timeout", Upstream, Response, 504),
    /// The endpoint stopped reading the request body.
    UploadStalled = ("upstream_upload_stalled", Upstream, Response, 504),
    /// The endpoint died in the middle of a body that was being relayed.
    BodyTruncated = ("upstream_body_truncated", Upstream, Body, 0),
    BodyMalformed = ("upstream_body_malformed", Upstream, Body, 0),
    BodyTimeout = ("upstream_body_timeout", Upstream, Body, 0),
    /// Bytes came behind the end of a reply, which itself was relayed.
    ExcessBytes = ("upstream_excess_bytes", Upstream, Body, 0),
    /// The client went away, or closed in the middle of its request.
    ClientAborted = ("client_aborted", Downstream, Body, 0),
    RequestBodyMalformed = ("request_body_malformed", Downstream, Body, 400),
    RequestBodyTooLarge = ("request_body_too_large", Downstream, Body, 413),
    RequestBodyTimeout = ("request_body_timeout", Downstream, Body, 408),
    /// The client stopped reading the response.
    ClientStalled = ("client_stalled", Downstream, Body, 0),
    /// A tunnel or a raw connection was silent for too long.
    IdleTimeout = ("idle_timeout", Downstream, Body, 0),
    /// More flows of UDP than there is room for: the one that was silent for the longest has made
    /// it.
    FlowEvicted = ("flow_evicted", Proxy, Body, 0),
    /// The program was told to stop, and the exchange was not over in time.
    Stopped = ("stopped", Proxy, Body, 0),
    Internal = ("internal", Proxy, Route, 500),
}

impl FaultKind {
    /// Whether it tells against the endpoint that it happens at.
    pub const fn is_of_endpoint(self) -> bool {
        // The others have to do with no endpoint, or with what is asked of it.
        matches!(self.party(), Party::Upstream)
            && !matches!(
                self,
                Self::NoEndpoint
                    | Self::UpstreamFull
                    | Self::CircuitOpen
                    | Self::NoWebSocket
                    | Self::ReplyHeadTooLarge
            )
    }

    /// What a client of gRPC is told in place of the status.
    pub const fn grpc_code(self) -> GrpcCode {
        match self {
            Self::DeadlineExceeded | Self::ResponseTimeout | Self::TryTimeout | Self::Unheard => {
                GrpcCode::DeadlineExceeded
            }
            Self::Internal => GrpcCode::Internal,
            // What clients make of a 429 without this, `unavailable`, is tried again at once.
            Self::RateLimited => GrpcCode::ResourceExhausted,
            _ => GrpcCode::of_http(self.status()),
        }
    }
}

/// Why an exchange failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    pub kind: FaultKind,
    /// What exactly was wrong, in the words of the log; empty where the kind says it all.
    pub detail: &'static str,
    /// Whether nothing of the request can have been seen by an endpoint, so that even a request
    /// that is not idempotent may be sent again.
    pub undelivered: bool,
}

impl Fault {
    pub const fn new(kind: FaultKind) -> Self {
        Self { kind, detail: "", undelivered: false }
    }

    /// A fault that struck before a byte reached an endpoint.
    pub const fn undelivered(kind: FaultKind) -> Self {
        Self { kind, detail: "", undelivered: true }
    }

    pub const fn because(kind: FaultKind, detail: &'static str) -> Self {
        Self { kind, detail, undelivered: false }
    }
}

impl From<FaultKind> for Fault {
    fn from(kind: FaultKind) -> Self {
        Self::new(kind)
    }
}

impl Party {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Downstream => "downstream",
            Self::Proxy => "proxy",
            Self::Upstream => "upstream",
        }
    }
}

impl Phase {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Route => "route",
            Self::Connect => "connect",
            Self::Response => "response",
            Self::Body => "body",
        }
    }
}
