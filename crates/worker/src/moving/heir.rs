//! The side that gives: a thread of the process that has been replaced.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fairwater_net::{Stream, Timer, Wheel};
use fairwater_sys::{memory_file, pass};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::oneshot;

use crate::shard::Shard;

/// What is longer goes in a file of its own: a message must fit into the buffer of a socket.
pub(super) const INLINE_BYTES_MAX: usize = 16 * 1024;
/// The most descriptors of all messages on their way are limited by the kernel.
const TOO_MANY: i32 = 109;
const PAUSE: Duration = Duration::from_millis(10);

/// First byte of a message: what it says lies in it, or in its last descriptor.
pub(super) const INLINE: u8 = b'i';
pub(super) const FILED: u8 = b'f';
/// First byte of an answer.
pub(super) const TAKEN: u8 = b't';
pub(super) const REFUSED: u8 = b'r';

/// What this process has given and has no answer to yet, over all threads: any of them may get it.
#[derive(Debug, Default)]
pub(crate) struct Estate {
    given: Mutex<Given>,
}

#[derive(Debug, Default)]
struct Given {
    last: u64,
    awaited: HashMap<u64, oneshot::Sender<bool>>,
}

impl Estate {
    fn lock(&self) -> MutexGuard<'_, Given> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn register(&self) -> (u64, oneshot::Receiver<bool>) {
        let (answer, answered) = oneshot::channel();
        let mut given = self.lock();
        given.last += 1;
        let id = given.last;
        given.awaited.insert(id, answer);
        (id, answered)
    }
}

/// The process that serves now, as a thread of the one before has it.
#[derive(Debug)]
pub(crate) struct Heir {
    socket: UnixStream,
    estate: Arc<Estate>,
    wheel: Rc<Wheel>,
}

impl Heir {
    /// # Errors
    /// When the runtime cannot take the socket.
    pub(crate) fn new(socket: OwnedFd, estate: Arc<Estate>, wheel: &Rc<Wheel>) -> io::Result<Self> {
        // The runtime asks no more of it than to be a socket.
        let socket = UnixStream::from_std(socket.into())?;
        Ok(Self { socket, estate, wheel: Rc::clone(wheel) })
    }

    /// Gives a connection away: the client's, and that of its endpoint if it has one. Returns
    /// whether it was taken: then it is not ours any more.
    pub(crate) async fn give(
        &self,
        parcel: Vec<u8>,
        client: &Stream,
        endpoint: Option<&Stream>,
    ) -> bool {
        self.give_with(parcel, |file, send| with_fds((client, endpoint), file, send)).await
    }

    /// The same of a socket that is no connection of a client.
    pub(crate) async fn give_socket(&self, parcel: Vec<u8>, socket: BorrowedFd<'_>) -> bool {
        self.give_with(parcel, |file, send| {
            send(&[&[socket][..], file.map(AsFd::as_fd).as_slice()].concat())
        })
        .await
    }

    /// Gives away what `with_fds` has the descriptors of, that of a file behind them.
    async fn give_with(
        &self,
        parcel: Vec<u8>,
        with_fds: impl Fn(File<'_>, Send<'_>) -> io::Result<()>,
    ) -> bool {
        let (id, answered) = self.estate.register();
        if self.send(id, &parcel, with_fds).await.is_err() {
            self.estate.lock().awaited.remove(&id);
            return false;
        }
        drop(parcel);
        // Nobody answers any more once the other process is gone.
        answered.await.unwrap_or(false)
    }

    async fn send(
        &self,
        id: u64,
        parcel: &[u8],
        with_fds: impl Fn(File<'_>, Send<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let is_inline = parcel.len() <= INLINE_BYTES_MAX;
        let mut message = vec![if is_inline { INLINE } else { FILED }];
        message.extend_from_slice(&id.to_le_bytes());
        let file = match is_inline {
            true => {
                message.extend_from_slice(parcel);
                None
            }
            false => Some(memory_file::sealed(c"fairwater-connection", parcel)?),
        };
        let send =
            || with_fds(file.as_ref(), &|fds| pass::send(self.socket.as_fd(), &message, fds));
        loop {
            match self.socket.async_io(Interest::WRITABLE, send).await {
                Err(error) if error.raw_os_error() == Some(TOO_MANY) => {
                    Timer::new(&self.wheel).pass(PAUSE).await;
                }
                result => return result,
            }
        }
    }

    /// Takes answers until the other process is gone; then all that has none comes back.
    pub(crate) async fn listen(self: Rc<Self>, shard: Rc<Shard>) {
        let mut buffer = [0; 16];
        loop {
            let next = self.socket.async_io(Interest::READABLE, || {
                pass::receive(self.socket.as_fd(), &mut buffer).map(|(len, _)| len)
            });
            let len = next.await.unwrap_or(0);
            let Some((&word, id)) = buffer[..len].split_first() else { break };
            let Ok(id) = id.try_into().map(u64::from_le_bytes) else { break };
            let awaited = self.estate.lock().awaited.remove(&id);
            if let Some(answer) = awaited {
                // Who gave it is gone if nobody waits.
                answer.send(word == TAKEN).ok();
            }
        }
        self.estate.lock().awaited.clear();
        shard.has_no_heir();
    }
}

/// What of a parcel is too long for a message.
type File<'a> = Option<&'a OwnedFd>;
/// Sends descriptors along.
type Send<'a> = &'a dyn Fn(&[BorrowedFd<'_>]) -> io::Result<()>;

/// Does something with the descriptors of connections, and that of a file behind them.
fn with_fds<T>(
    (client, endpoint): (&Stream, Option<&Stream>),
    file: Option<&OwnedFd>,
    action: impl FnOnce(&[BorrowedFd<'_>]) -> io::Result<T>,
) -> io::Result<T> {
    let gone = || Err(io::ErrorKind::NotConnected.into());
    let with_client = |client: BorrowedFd<'_>| {
        let Some(endpoint) = endpoint else {
            return Some(action(&[&[client][..], file.map(AsFd::as_fd).as_slice()].concat()));
        };
        endpoint.with_fd(|endpoint| {
            action(&[&[client, endpoint][..], file.map(AsFd::as_fd).as_slice()].concat())
        })
    };
    client.with_fd(with_client).flatten().unwrap_or_else(gone)
}
