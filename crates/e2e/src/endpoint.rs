//! An endpoint that does as it is told: accepts in a thread, runs a script for each connection, and
//! keeps exactly what it received.

use std::fmt;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::message::{Broken, Message, Reader};
use crate::{Socket, until};

const PATIENCE_OF_ENDPOINT: Duration = Duration::from_secs(300);

/// What the threads of one endpoint share.
#[derive(Default)]
struct Shared {
    requests: Mutex<Vec<Message>>,
    /// What came of requests that were cut off, and what was no canonical HTTP.
    partial: Mutex<Vec<Message>>,
    errors: Mutex<Vec<String>>,
    /// Handles by which connections are ended from outside; `None` once the script has ended.
    open: Mutex<Vec<Option<Socket>>>,
    accepted: AtomicUsize,
    closed: AtomicUsize,
    is_stopping: AtomicBool,
}

/// A listening endpoint; closed when it is dropped.
pub struct Endpoint {
    /// As it is written in a configuration.
    pub address: String,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("address", &self.address).finish_non_exhaustive()
    }
}

/// The endpoint's side of one connection, in the hands of a script.
pub struct Caller {
    pub socket: Socket,
    /// The first connection is 0.
    pub number: usize,
    reader: Reader,
    shared: Arc<Shared>,
    is_resetting: bool,
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Endpoint {
    /// Runs `script` for each connection, in a thread of its own.
    pub fn new(script: impl Fn(&mut Caller) + Send + Sync + 'static) -> Self {
        Self::at("127.0.0.1:0", script)
    }

    /// # Panics
    /// When the address cannot be listened on.
    pub fn at(address: &str, script: impl Fn(&mut Caller) + Send + Sync + 'static) -> Self {
        let tcp = TcpListener::bind(address).unwrap();
        let address = tcp.local_addr().unwrap().to_string();
        Self::serve(Listener::Tcp(tcp), address, script)
    }

    /// # Panics
    /// When the path cannot be listened on.
    pub fn on_unix(path: &Path, script: impl Fn(&mut Caller) + Send + Sync + 'static) -> Self {
        let unix = UnixListener::bind(path).unwrap();
        Self::serve(Listener::Unix(unix), format!("unix:{}", path.display()), script)
    }

    /// Answers each request with 200 and `name: METHOD TARGET BODY-LENGTH`.
    pub fn echo(name: &'static str) -> Self {
        Self::new(echo(name))
    }

    /// For each connection, in order and the last one again and again: reads a request and answers
    /// with these bytes, then closes.
    pub fn replying(replies: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let replies: Vec<_> = replies.into_iter().collect();
        Self::new(move |caller| {
            if caller.request().is_some() {
                caller.send(&replies[caller.number.min(replies.len() - 1)]);
            }
        })
    }

    /// Sends back the bytes that it gets, in large pieces.
    pub fn mirror() -> Self {
        Self::new(|caller| {
            let mut bytes = vec![0; 256 * 1024];
            loop {
                let len = caller.read_some(&mut bytes);
                if len == 0 || !caller.send(&bytes[..len]) {
                    return;
                }
            }
        })
    }

    fn serve(
        listener: Listener,
        address: String,
        script: impl Fn(&mut Caller) + Send + Sync + 'static,
    ) -> Self {
        let shared = Arc::new(Shared::default());
        let (script, of_thread) = (Arc::new(script), Arc::clone(&shared));
        let acceptor = std::thread::spawn(move || {
            while let Some(socket) = listener.accept() {
                if of_thread.is_stopping.load(Ordering::Acquire) {
                    return;
                }
                start(&of_thread, socket, Arc::clone(&script));
            }
        });
        Self { address, shared, acceptor: Some(acceptor) }
    }

    /// Complete requests so far, of all connections, in the order of their completion.
    pub fn requests(&self) -> Vec<Message> {
        lock(&self.shared.requests).clone()
    }

    pub fn partial_requests(&self) -> Vec<Message> {
        lock(&self.shared.partial).clone()
    }

    /// What the proxy sent that is no canonical HTTP.
    pub fn errors(&self) -> Vec<String> {
        lock(&self.shared.errors).clone()
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::Acquire)
    }

    /// Connections whose script has ended.
    pub fn closed(&self) -> usize {
        self.shared.closed.load(Ordering::Acquire)
    }

    #[track_caller]
    pub fn until_requests(&self, count: usize) {
        until("requests at the endpoint", || lock(&self.shared.requests).len() >= count);
    }

    #[track_caller]
    pub fn until_closed(&self, count: usize) {
        until("connections of the endpoint to end", || self.closed() >= count);
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.shared.is_stopping.store(true, Ordering::Release);
        for socket in lock(&self.shared.open).iter().flatten() {
            socket.shut_down(Shutdown::Both);
        }
        // The accepting thread waits for one more connection.
        drop(Socket::connect(&self.address));
        self.acceptor.take().map(JoinHandle::join);
    }
}

fn start<F>(shared: &Arc<Shared>, socket: Socket, script: Arc<F>)
where
    F: Fn(&mut Caller) + Send + Sync + 'static,
{
    let number = shared.accepted.fetch_add(1, Ordering::AcqRel);
    socket.prepare().ok();
    // Slower than every deadline of the proxy, which is what tests are about.
    socket.patience(PATIENCE_OF_ENDPOINT).ok();
    let mut open = lock(&shared.open);
    let len = open.len().max(number + 1);
    open.resize_with(len, || None);
    open[number] = socket.try_clone().ok();
    drop(open);
    let shared = Arc::clone(shared);
    std::thread::spawn(move || {
        let of_caller = Arc::clone(&shared);
        let mut caller = Caller {
            socket,
            number,
            reader: Reader::new(),
            shared: of_caller,
            is_resetting: false,
        };
        script(&mut caller);
        // The last handle must be the caller's, or its close would not end the connection.
        lock(&shared.open)[number] = None;
        if !caller.is_resetting {
            // At once, even while a process that another test starts has not closed its copy yet.
            caller.socket.shut_down(Shutdown::Both);
        }
        drop(caller);
        shared.closed.fetch_add(1, Ordering::AcqRel);
    });
}

/// The script of [`Endpoint::echo`].
pub fn echo(name: &'static str) -> impl Fn(&mut Caller) + Send + Sync + 'static {
    move |caller| {
        while let Some(request) = caller.request() {
            let (method, target, len) = (request.method(), request.target(), request.body.len());
            let body = format!("{name}: {method} {target} {len}\n");
            caller.reply(method, &body);
        }
    }
}

impl Listener {
    fn accept(&self) -> Option<Socket> {
        match self {
            Self::Tcp(tcp) => tcp.accept().ok().map(|(stream, _)| Socket::Tcp(stream)),
            Self::Unix(unix) => unix.accept().ok().map(|(stream, _)| Socket::Unix(stream)),
        }
    }
}

impl Caller {
    /// The next request, which is also kept for the test; `None` at the end of the connection.
    pub fn request(&mut self) -> Option<Message> {
        match self.reader.request(&mut self.socket) {
            Ok(request) => {
                lock(&self.shared.requests).push(request.clone());
                Some(request)
            }
            Err(Broken::Closed | Broken::Reset | Broken::TimedOut(_)) => None,
            Err(Broken::ClosedWithin(partial) | Broken::ResetWithin(partial)) => {
                lock(&self.shared.partial).push(*partial);
                None
            }
            Err(Broken::Grammar(error)) => {
                lock(&self.shared.errors).push(error);
                None
            }
        }
    }

    /// Whatever has come until there is this text in it.
    pub fn read_until(&mut self, text: &[u8]) -> Vec<u8> {
        let mut bytes = self.reader.take_rest();
        let mut piece = [0; 4096];
        while !bytes.windows(text.len()).any(|window| window == text) {
            match self.socket.read(&mut piece) {
                Ok(0) | Err(_) => break,
                Ok(len) => bytes.extend_from_slice(&piece[..len]),
            }
        }
        bytes
    }

    /// Exactly so many bytes, or fewer at the end.
    pub fn read_exactly(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = self.reader.take_rest();
        let mut piece = vec![0; 64 * 1024];
        while bytes.len() < len {
            let room = (len - bytes.len()).min(piece.len());
            match self.socket.read(&mut piece[..room]) {
                Ok(0) | Err(_) => break,
                Ok(len) => bytes.extend_from_slice(&piece[..len]),
            }
        }
        bytes
    }

    /// What is there, once there is something; 0 at the end.
    fn read_some(&mut self, room: &mut [u8]) -> usize {
        self.socket.read(room).unwrap_or(0)
    }

    /// Everything until the other side ends; and whether it did so by a reset.
    pub fn read_to_end(&mut self) -> (Vec<u8>, bool) {
        let mut bytes = self.reader.take_rest();
        let mut piece = vec![0; 64 * 1024];
        loop {
            match self.socket.read(&mut piece) {
                Ok(0) => return (bytes, false),
                Ok(len) => bytes.extend_from_slice(&piece[..len]),
                Err(_) => return (bytes, true),
            }
        }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.socket.write_all(bytes.as_ref()).is_ok()
    }

    /// Sends pieces, each as a segment of its own.
    pub fn send_segments<T: AsRef<[u8]>>(&mut self, segments: &[T]) {
        for segment in segments {
            self.send(segment);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// A plain 200 with a body (or without one, to a HEAD).
    pub fn reply(&mut self, method: &str, body: &str) -> bool {
        let len = body.len();
        let body = if method == "HEAD" { "" } else { body };
        self.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {len}\r\n\r\n{body}"))
    }

    pub fn half_close(&self) {
        self.socket.shut_down(Shutdown::Write);
    }

    /// The end of this connection will be a reset.
    pub fn reset(&mut self) {
        self.is_resetting = true;
        self.socket.reset_on_close();
    }

    /// Waits until the other side has closed.
    pub fn until_closed(&mut self) {
        self.read_to_end();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
