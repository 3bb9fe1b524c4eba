//! The timeouts and limits of the data plane that are no settings; the reasons stand beside them.

use std::time::Duration;

/// Between two looks at what a slow peer has taken.
pub const STALL_LOOK: Duration = Duration::from_secs(5);
/// Until the client is listened to while the endpoint works.
pub const WATCH_AFTER: Duration = Duration::from_millis(100);
/// Between two looks at a client whose upload is stuck, and from whom nothing is read therefore.
pub const ABORT_LOOK: Duration = Duration::from_millis(500);
/// Between two looks for room at a full upstream, beside those that somebody calls for.
pub const ROOM_LOOK: Duration = Duration::from_millis(500);
/// For the rest of a request that is answered already: read and dropped, so that the answer is not
/// lost to a reset.
pub const LINGER: Duration = Duration::from_secs(1);
pub const LINGER_BYTES: usize = 64 * 1024;

/// Interim responses (1xx) before the final one.
pub const INTERIM_RESPONSES: u32 = 16;
/// Empty lines that are dropped between two requests.
pub const EMPTY_LINES_MAX: u32 = 4;
/// Requests of one connection in one turn of its thread.
pub const PIPELINED_PER_TURN: u32 = 16;
/// Streams that begin in one turn of its thread, of a client that is not known to keep to the
/// rules.
pub const STREAMS_PER_TURN: u64 = 16;
/// Bytes of one connection in one turn of its thread.
pub const BYTES_PER_TURN: u64 = 256 * 1024;

/// The buffer that a head is read into and a body is relayed through.
pub const BUFFER_BYTES: usize = 16 * 1024;
/// Bodies with at least this much to come are spliced: below, a copy is as cheap (measured: splice
/// wins from 64 to 128 KiB on).
pub const SPLICE_BYTES_MIN: u64 = 64 * 1024;
/// Bodies with at least this much to come are read for a stream of HTTP/2 as its client takes them.
pub const POUR_BYTES_MIN: u64 = 16 * 1024;
/// Size of the pipes for splicing: 256 of this size are what the kernel grants an unprivileged
/// user.
pub const PIPE_BYTES: usize = 256 * 1024;
/// Pipes that a thread keeps for later, and that are out at a time: 32 MiB of kernel memory. Beyond
/// that bytes are copied.
pub const PIPES_KEPT: usize = 32;
pub const PIPES_OUT_MAX: usize = 128;
/// Requests that share a connection to an endpoint at a time; the endpoint may allow fewer.
pub const CALLS_PER_TRUNK: u32 = 100;
/// Such connections that a thread has to one endpoint: room for 6 400 requests. Beyond that they
/// wait.
pub const TRUNKS_PER_ENDPOINT: usize = 64;
/// A shared connection on which nothing has come for so long is asked whether it is alive with the
/// next request.
pub const DOUBT_AFTER: Duration = Duration::from_secs(1);
/// For the last words of a connection on which nothing runs any more.
pub const GOODBYE: Duration = Duration::from_secs(5);
/// Bodies of requests that a thread holds before there is an endpoint, all together: a thousand of
/// 64 KiB, and no more than this part of its share of memory. Further ones are sent on as they
/// come.
pub const HELD_BYTES_MAX: usize = 64 * 1024 * 1024;
pub const HELD_PART: u64 = 8;
/// Idle connections that a thread keeps for each endpoint.
pub const POOL_PER_ENDPOINT: usize = 1024;
/// Threads that check passwords, at the most; with few worker threads there are half as many.
pub const PASSWORD_THREADS_MAX: usize = 8;
/// Passwords that wait to be checked. At 60 ms each on one thread, the last waits four seconds.
pub const PASSWORDS_WAITING_MAX: usize = 64;
/// For the check of a password, waiting included.
pub const PASSWORD_PATIENCE: Duration = Duration::from_secs(10);
/// Credentials that a thread remembers as right, and for how long.
pub const REMEMBERED_MAX: usize = 1024;
pub const REMEMBERED_FOR: Duration = Duration::from_secs(300);
/// Batches of datagrams of one socket in one turn of its thread: 256 each way.
pub const DATAGRAM_BATCHES_PER_TURN: u32 = 8;
/// Replies of one flow that are taken at once while others wait.
pub const REPLIES_AT_ONCE: usize = 8;
/// For replies that are on their way when nothing more is taken from clients.
pub const FLOW_LINGER: Duration = Duration::from_secs(1);
/// HTTP connections that a thread may have more than another before it hands new ones over.
pub const SPREAD_SLACK: u32 = 2;
/// When a TCP peer is silent this long the kernel asks whether it is there.
pub const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// A message of up to so many bytes is sent when all of it is there; so is a reply. Longer ones go
/// on as they come.
pub const FRAME_STORED_BYTES: usize = 64 * 1024;
/// A message of up to so many bytes is kept until it is answered, so that it can go elsewhere.
pub const FRAME_COPY_BYTES: usize = 16 * 1024;
/// Of replies that a client has not taken, before no more is read from the endpoints that have more
/// for it.
pub const FRAME_UNTAKEN_BYTES: usize = 1024 * 1024;
/// Between two times that a thread gives a connection for messages to another one, where there are
/// fewer than threads.
pub const YIELD_AFTER: Duration = Duration::from_millis(20);
