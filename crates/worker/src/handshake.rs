//! What comes before the protocol of a client: whose connection it is, and TLS.
//!
//! A step of a handshake takes the processor for as long as a hundred requests do. So each thread
//! takes one step at a time and looks at everything else before the next: however many clients come
//! at once, those who are there already wait for one step and not for all.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use fairwater_message::FaultKind;
use fairwater_net::{Stream, Timer, clock};
use fairwater_plan::{HandshakeLimits, Listener, Priority, Turn};
use fairwater_tls::Server;

use crate::accept::{self, Accepted};
use crate::announced::{self, Unserved};

/// Does that and then serves. What fails is counted.
pub(crate) async fn serve(mut connection: Accepted) {
    let result = match announced::read(&mut connection).await {
        Ok(()) => secure(&connection).await,
        Err(unserved) => Err(unserved),
    };
    match result {
        Ok(()) => accept::serve(connection),
        Err(Unserved::Faulty(kind)) => connection.count_fault(kind),
        Err(Unserved::Over) => {}
    }
}

/// Shakes hands, where clients speak TLS. One that cannot gets an alert that says why.
async fn secure(connection: &Accepted) -> Result<(), Unserved> {
    let read = |listener: &Listener| {
        let limits = Arc::clone(&listener.connections.handshakes);
        listener.tls.is_some().then_some((limits, listener.timeouts.handshake))
    };
    let Some((limits, patience)) = connection.of_listener(read) else { return Ok(()) };
    let until_ms = clock::coarse_ms() + patience.as_millis() as u64;
    connection.timer.set_at(until_ms);
    // Who says nothing takes nobody's place, and no memory.
    until_spoken(connection).await?;
    let _permit = enter(&limits, &connection.timer, until_ms).await.map_err(Unserved::Faulty)?;
    connection.timer.set_at(until_ms);
    let session =
        connection.of_listener(|listener| listener.tls.as_ref().and_then(Server::session));
    let session = session.ok_or(Unserved::Faulty(FaultKind::HandshakeFailed))?;
    connection.stream.secure(session).map_err(unserved)?;
    until_shaken_in_turns(connection).await.map_err(unserved)
}

fn unserved(error: io::Error) -> Unserved {
    Unserved::Faulty(match error.kind() {
        io::ErrorKind::TimedOut => FaultKind::HandshakeTimeout,
        _ => FaultKind::HandshakeFailed,
    })
}

/// Who goes without a word, such as the check of a balancer, has done nothing wrong.
async fn until_spoken(connection: &Accepted) -> Result<(), Unserved> {
    let Accepted { stream, timer, .. } = connection;
    let late = Unserved::Faulty(FaultKind::HandshakeTimeout);
    poll_fn(|cx| match stream.poll_peek(cx, &mut [0], 0) {
        Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(Err(Unserved::Over)),
        Poll::Ready(Ok(_)) => Poll::Ready(Ok(())),
        Poll::Pending => timer.poll_expired(cx).map(|()| Err(late)),
    })
    .await
}

/// A handshake that its listener counts as under way.
struct Permit<'a>(&'a HandshakeLimits);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.at_once.leave();
    }
}

/// Waits until a handshake may begin.
async fn enter<'a>(
    limits: &'a HandshakeLimits,
    timer: &Timer,
    until_ms: u64,
) -> Result<Permit<'a>, FaultKind> {
    let now_ms = clock::coarse_ms();
    let left = Duration::from_millis(until_ms.saturating_sub(now_ms));
    let wait = limits.rate.book(clock::precise_us(), left).ok_or(FaultKind::HandshakesBusy)?;
    if !wait.is_zero() {
        timer.set_at(now_ms + wait.as_millis() as u64);
        poll_fn(|cx| timer.poll_expired(cx)).await;
        timer.set_at(until_ms);
    }
    if limits.at_once.enter() {
        return Ok(Permit(limits));
    }
    let mut waiter = limits.at_once.waiter(Priority::Normal);
    poll_fn(|cx| match waiter.poll(cx.waker(), || limits.at_once.take_permit()) {
        Turn::Enter(()) => Poll::Ready(Ok(Permit(limits))),
        Turn::Wait => timer.poll_expired(cx).map(|()| Err(FaultKind::HandshakesBusy)),
        Turn::Refused => Poll::Ready(Err(FaultKind::HandshakesBusy)),
    })
    .await
}

async fn until_shaken_in_turns(connection: &Accepted) -> io::Result<()> {
    let Accepted { stream, timer, shard, .. } = connection;
    loop {
        let step = {
            let mut turn = pin!(shard.handshakes.acquire());
            let turn = poll_fn(|cx| match turn.as_mut().poll(cx) {
                Poll::Ready(turn) => Poll::Ready(Ok(turn)),
                Poll::Pending => {
                    timer.poll_expired(cx).map(|()| Err(io::Error::from(io::ErrorKind::TimedOut)))
                }
            });
            let _turn = turn.await?;
            let step = poll_fn(|cx| Poll::Ready(stream.poll_handshake(cx))).await;
            // The next one is taken when everybody else has had a turn, sockets included.
            tokio::task::yield_now().await;
            step
        };
        match step {
            Poll::Ready(result) => return result,
            // What is left to be sent goes with what comes next.
            Poll::Pending if stream.agreed().is_some() => return Ok(()),
            Poll::Pending => {
                poll_fn(|cx| match stream.poll_readable(cx) {
                    Poll::Pending => {
                        timer.poll_expired(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
                    }
                    ready => ready,
                })
                .await?
            }
        }
    }
}

/// Waits for the end of a handshake with an endpoint, for as long as the timer says.
pub(crate) async fn until_shaken(stream: &Stream, timer: &Timer) -> io::Result<()> {
    poll_fn(|cx| match stream.poll_handshake(cx) {
        Poll::Pending => timer.poll_expired(cx).map(|()| Err(io::ErrorKind::TimedOut.into())),
        ready => ready,
    })
    .await
}
