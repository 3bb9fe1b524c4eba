//! HTTP/1 clients: one task per connection. While idle it owns its socket and a place on the wheel,
//! nothing else; with the first byte of a request it borrows a working set and a block for the
//! future of its exchanges.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use fairwater_message::{Fault, FaultKind};
use fairwater_plan::Listener;
use fairwater_proto::h1::RequestReader;

use super::h2;
use crate::accept::Accepted;
use crate::exchange::{self, Client, End};
use crate::limits;
use crate::pulse::Watched;
use crate::record::HeadTimes;
use crate::respond;
use crate::shard::Shard;
use crate::tunnel::{self, Tunnel};
use crate::work::{Buffer, Loan, Work};

/// What a connection does next.
enum Turn {
    Idle,
    /// What came was nothing: an empty line, or a record of TLS without a byte. That is no request,
    /// so that the time between two goes on.
    StillIdle,
    Close,
    Tunnel(Box<Tunnel>),
    /// The client speaks HTTP/2, and has said so much.
    Http2(Box<h2::Ahead>),
}

/// Serves a connection until it closes.
///
/// Not an `async fn`: that would keep its argument twice, and what an idle connection costs is the
/// size of this future.
#[allow(clippy::manual_async_fn, reason = "see above")]
pub(crate) fn serve(connection: Accepted) -> impl Future<Output = ()> {
    async move {
        loop {
            connection.timer.set_idle(connection.of_listener(|listener| listener.timeouts.idle));
            let turn = loop {
                match until_readable(&connection).await {
                    Next::Request => {}
                    Next::End => return,
                    // A request that has come meanwhile is served where it is: nobody else can.
                    Next::Move => {
                        let has_moved = Box::pin(connection.give_away()).await;
                        if has_moved || connection.stream.unread_bytes() == 0 {
                            return;
                        }
                    }
                }
                let future = connection.shard.futures.place(|| busy(&connection));
                match (Watched { connection: &connection, future }).await {
                    Turn::StillIdle => {}
                    turn => break turn,
                }
            };
            match turn {
                Turn::Idle | Turn::StillIdle => {}
                Turn::Close => return,
                Turn::Tunnel(tunnel) => return tunnel::start(connection, tunnel),
                Turn::Http2(ahead) => {
                    return serve_h2(connection, *ahead).await;
                }
            }
        }
    }
}

/// A future that is made apart: it is far larger than that of an idle connection, and would be laid
/// on the stack of every turn of it.
#[cold]
#[inline(never)]
fn serve_h2(connection: Accepted, ahead: h2::Ahead) -> Pin<Box<dyn Future<Output = ()>>> {
    Box::pin(h2::serve(connection, ahead))
}

/// What an idle connection waits for.
enum Next {
    Request,
    /// Closed, idle for too long, or nothing new may begin.
    End,
    /// Another process serves it from now on.
    Move,
}

async fn until_readable(connection: &Accepted) -> Next {
    poll_fn(|cx| {
        if let Poll::Ready(result) = connection.stream.poll_readable(cx) {
            return Poll::Ready(if result.is_ok() { Next::Request } else { Next::End });
        }
        if connection.moves() {
            return Poll::Ready(Next::Move);
        }
        if connection.is_over() {
            return Poll::Ready(Next::End);
        }
        connection.timer.poll_expired(cx).map(|()| Next::End)
    })
    .await
}

/// Serves requests until no byte of a further one has come.
async fn busy(connection: &Accepted) -> Turn {
    let shard = &*connection.shard;
    let mut work = Loan::new(shard);
    let mut served = 0;
    loop {
        let in_force = &*shard.in_force();
        let listener = in_force.plan.listener(connection.listener);
        let times = match read_head(shard, connection, listener, &mut work).await {
            Read::Head(times) => times,
            Read::Nothing if served == 0 => return Turn::StillIdle,
            Read::Nothing => return Turn::Idle,
            Read::End => return Turn::Close,
            // Over TLS the handshake decides, and has not chosen it (RFC 9113, section 3.2).
            Read::Fault { .. }
                if served == 0
                    && listener.http2
                    && connection.stream.is_plain()
                    && h2::is_begun(work.request.data()) =>
            {
                return Turn::Http2(Box::new(h2::Ahead(work.request.data().to_vec())));
            }
            Read::Fault { fault, begun_us } => {
                let client = Client::of(connection);
                respond::to_bad_head(shard, client, &mut work, fault, begun_us).await;
                return Turn::Close;
            }
        };
        match exchange::serve::<false>(in_force, Client::of(connection), &mut work, times).await {
            End::KeepAlive if work.request.is_empty() => return Turn::Idle,
            End::KeepAlive => {}
            End::Close => return Turn::Close,
            End::Linger => {
                let patience = connection.patience();
                respond::linger(&connection.stream, patience, &mut work.request).await;
                return Turn::Close;
            }
            End::Tunnel(tunnel) => return Turn::Tunnel(tunnel),
        }
        served += 1;
        if served % limits::PIPELINED_PER_TURN == 0 {
            tokio::task::yield_now().await;
        }
    }
}

enum Read {
    Head(HeadTimes),
    /// Nothing has come: the connection is idle.
    Nothing,
    /// The client has closed between requests.
    End,
    Fault {
        fault: Fault,
        begun_us: u64,
    },
}

async fn read_head(
    shard: &Shard,
    connection: &Accepted,
    listener: &Listener,
    work: &mut Work,
) -> Read {
    let mut reader = RequestReader::new(listener.head);
    let (mut is_timed, mut is_fresh, mut reads) = (false, true, 0);
    let begun_us = shard.now_us();
    let bad = |fault: Fault| Read::Fault { fault, begun_us };
    work.request_head.clear();
    work.request.compact();
    shard.lend_block(&mut work.request);
    loop {
        if is_fresh {
            drop_empty_lines(&mut work.request);
        }
        // Half an empty line is nothing yet.
        if !matches!(work.request.data(), b"" | b"\r") {
            is_fresh = false;
            match reader.read(work.request.data(), &mut work.request_head) {
                Ok(true) => {
                    work.request.make_room_behind(work.request_head.len);
                    let done_us = if reads > 1 { shard.now_us() } else { begun_us };
                    return Read::Head(HeadTimes { begun_us, done_us });
                }
                Ok(false) => {}
                Err(fault) => return bad(fault),
            }
        }
        let has_begun = reader.has_begun(work.request.data());
        if !work.request.is_empty() && !is_timed {
            is_timed = true;
            connection.timer.set(listener.timeouts.head);
        }
        let is_empty = work.request.is_empty();
        let room = work.request.room();
        if room.is_empty() {
            return bad(FaultKind::HeadTooLarge.into());
        }
        let result = poll_fn(|cx| match connection.stream.poll_read(cx, room) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending if is_empty => Poll::Ready(None),
            Poll::Pending => connection
                .timer
                .poll_expired(cx)
                .map(|()| Some(Err(std::io::ErrorKind::TimedOut.into()))),
        });
        match result.await {
            None => return Read::Nothing,
            Some(Ok(0)) if has_begun => return bad(FaultKind::ClientAborted.into()),
            Some(Ok(0)) => return Read::End,
            Some(Ok(len)) => (work.request.end, reads) = (work.request.end + len, reads + 1),
            Some(Err(error)) if error.kind() == std::io::ErrorKind::TimedOut && has_begun => {
                return bad(FaultKind::HeadTimeout.into());
            }
            Some(Err(_)) if has_begun => return bad(FaultKind::ClientAborted.into()),
            Some(Err(_)) => return Read::End,
        }
    }
}

/// Empty lines between two requests belong to none (RFC 9112, section 2.2): who sends only those is
/// idle. The reader bears with a few and refuses more.
fn drop_empty_lines(buffer: &mut Buffer) {
    for _ in 0..limits::EMPTY_LINES_MAX {
        if !buffer.data().starts_with(b"\r\n") {
            break;
        }
        buffer.consume(2);
    }
    buffer.compact();
}
