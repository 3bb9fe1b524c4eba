//! What master and worker say to each other, message by message. A worker gets what it shall serve
//! with; what it answers moves nothing but the state that the master has of it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use fairwater_message::app::AppState;
use fairwater_message::tally::Tally;
use fairwater_sys::pass;

use crate::bind::UDP;

/// One end of a link.
#[derive(Debug)]
pub struct Link(OwnedFd);

/// From the master to a worker.
#[derive(Debug)]
pub enum Order {
    /// The files of the configuration, and the name of the first.
    Configuration { name: String, files: OwnedFd },
    /// The sockets of one address, one for each thread or one for all: the next one in the order of
    /// the configuration. None for an address that the worker has already.
    Listening(Address, Vec<OwnedFd>),
    /// The admin socket.
    Admin(OwnedFd),
    /// How an app is doing: before `Serve`, and whenever that changes.
    App(AppState),
    /// What the master has counted, for who asks the worker.
    Tally(Tally),
    /// What the worker before has given as its state.
    State(OwnedFd, Succession),
    /// That was all: serve with it from now on, or instead of what there was before.
    Serve,
    /// Connections come over this socket, from the worker before.
    Inherit(OwnedFd),
    /// Another worker serves now: finish what runs, and end. Connections may go to it over this
    /// socket.
    Retire(Option<OwnedFd>),
}

/// Why a worker takes the place of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Succession {
    /// To go on where that was.
    GoesOn,
    /// After a reload, which ends what was set until then.
    Reload,
}

impl Succession {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::GoesOn => "",
            Self::Reload => "reload",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::GoesOn, Self::Reload].into_iter().find(|one| one.word() == word)
    }
}

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// As the configuration has it.
    pub configured: String,
    /// As it is in force.
    pub bound: String,
}

impl Address {
    /// Whether it is one for datagrams.
    pub fn is_udp(&self) -> bool {
        self.bound.starts_with(UDP)
    }
}

/// From a worker to the master.
#[derive(Debug)]
pub enum News {
    /// It serves with what it was given last.
    Serving,
    /// What a worker in its place should know, in a file that the master does not read.
    State(OwnedFd),
    /// It serves as before: this setting takes another process.
    Fixed(String),
    /// No new connection will be accepted.
    Draining,
    /// Nothing new is sent to the process of an app that drains: its number.
    AppLeft(u32),
    /// Nothing is in flight any more at the process of an app that drains: its number.
    AppDrained(u32),
    /// So many requests were sent to a process of an app: its number, and how many so far.
    AppRequests(u32, u64),
    /// It cannot serve, for this reason.
    Failed(String),
    /// A thread of it does not come back. What each of them does.
    Hangs(String),
}

/// Far more than the longest path or reason; room for an app of hundreds of instances, all of which
/// have failed.
pub(crate) const MESSAGE_BYTES_MAX: usize = 160 * 1024;

impl Link {
    pub fn new(socket: OwnedFd) -> Self {
        Self(socket)
    }

    /// The same end in other hands.
    ///
    /// # Errors
    /// When there is no descriptor left.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// Sends an order whose descriptors the sender keeps.
    ///
    /// # Errors
    /// When the worker is gone.
    pub(crate) fn order(&self, word: &str, text: &str, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        pass::send(self.0.as_fd(), format!("{word}\n{text}").as_bytes(), fds)
    }

    /// Tells of an app, without waiting for a worker that reads nothing.
    ///
    /// # Errors
    /// When the worker is gone or does not read.
    pub(crate) fn order_app(&self, state: &AppState) -> io::Result<()> {
        pass::send_now(self.0.as_fd(), format!("app\n{state}").as_bytes())
    }

    /// The next order; nothing if the master is gone.
    ///
    /// # Errors
    /// `InvalidData` for what is no order.
    pub fn next_order(&self) -> io::Result<Option<Order>> {
        let Some((text, mut fds)) = self.next()? else { return Ok(None) };
        let (word, rest) = text.split_once('\n').unwrap_or((&text, ""));
        let first = (!fds.is_empty()).then(|| fds.remove(0));
        let order = match (word, first) {
            ("listening", first) => {
                fds.splice(0..0, first);
                let (configured, bound) =
                    rest.split_once('\n').ok_or(io::ErrorKind::InvalidData)?;
                let address =
                    Address { configured: configured.to_owned(), bound: bound.to_owned() };
                Order::Listening(address, fds)
            }
            ("configuration", Some(files)) => Order::Configuration { name: rest.to_owned(), files },
            ("admin", Some(socket)) => Order::Admin(socket),
            ("tally", None) => Order::Tally(Tally::parse(rest).ok_or(io::ErrorKind::InvalidData)?),
            ("app", None) => Order::App(AppState::parse(rest).ok_or(io::ErrorKind::InvalidData)?),
            ("state", Some(state)) => {
                let succession = Succession::parse(rest).ok_or(io::ErrorKind::InvalidData)?;
                Order::State(state, succession)
            }
            ("serve", None) => Order::Serve,
            ("inherit", Some(socket)) => Order::Inherit(socket),
            ("retire", heir) => Order::Retire(heir),
            _ => return Err(io::ErrorKind::InvalidData.into()),
        };
        Ok(Some(order))
    }

    /// Tells the master. One that is gone needs no news.
    pub fn tell(&self, news: &News) {
        let text = match news {
            News::Serving => "serving\n",
            News::State(_) => "state\n",
            News::Draining => "draining\n",
            News::Fixed(setting) => &format!("fixed\n{setting}"),
            News::AppLeft(number) => &format!("app-left\n{number}"),
            News::AppDrained(number) => &format!("app-drained\n{number}"),
            News::AppRequests(number, count) => &format!("app-requests\n{number} {count}"),
            News::Failed(reason) => &format!("failed\n{reason}"),
            News::Hangs(doing) => &format!("hangs\n{doing}"),
        };
        let end = text.floor_char_boundary(MESSAGE_BYTES_MAX);
        let fds = if let News::State(state) = news { &[state.as_fd()][..] } else { &[] };
        pass::send(self.0.as_fd(), &text.as_bytes()[..end], fds).ok();
    }

    /// The next news; nothing if the worker is gone, or speaks in riddles.
    pub(crate) fn next_news(&self) -> Option<News> {
        let (text, mut fds) = self.next().ok()??;
        match text.split_once('\n')? {
            ("state", "") => fds.pop().map(News::State),
            ("serving", "") => Some(News::Serving),
            ("draining", "") => Some(News::Draining),
            ("fixed", setting) => Some(News::Fixed(setting.to_owned())),
            ("app-left", number) => Some(News::AppLeft(number.parse().ok()?)),
            ("app-drained", number) => Some(News::AppDrained(number.parse().ok()?)),
            ("app-requests", rest) => {
                let (number, count) = rest.split_once(' ')?;
                Some(News::AppRequests(number.parse().ok()?, count.parse().ok()?))
            }
            ("hangs", doing) => Some(News::Hangs(doing.to_owned())),
            ("failed", reason) => Some(News::Failed(reason.to_owned())),
            _ => None,
        }
    }

    fn next(&self) -> io::Result<Option<(String, Vec<OwnedFd>)>> {
        let mut buffer = vec![0; MESSAGE_BYTES_MAX];
        let (len, fds) = pass::receive(self.0.as_fd(), &mut buffer)?;
        buffer.truncate(len);
        let text = String::from_utf8(buffer).map_err(|_| io::ErrorKind::InvalidData)?;
        Ok((len > 0).then_some((text, fds)))
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    fn links() -> (Link, Link) {
        let (master, worker) = pass::pair().unwrap();
        (Link::new(master), Link::new(worker))
    }

    #[test]
    fn orders_arrive_with_their_descriptors() {
        let (master, worker) = links();
        let null = File::open("/dev/null").unwrap();
        master.order("configuration", "a b.toml", &[null.as_fd()]).unwrap();
        master.order("listening", "unix:/a\nunix:/a", &[null.as_fd(), null.as_fd()]).unwrap();
        master.order("listening", ":0\n[::]:80", &[]).unwrap();
        master.order("serve", "", &[]).unwrap();
        master.order("listening", ":80", &[]).unwrap();
        let next = || worker.next_order();
        assert!(
            matches!(next(), Ok(Some(Order::Configuration { name, .. })) if name == "a b.toml")
        );
        assert!(matches!(next(), Ok(Some(Order::Listening(_, sockets))) if sockets.len() == 2));
        let known = Address { configured: ":0".to_owned(), bound: "[::]:80".to_owned() };
        assert!(
            matches!(next(), Ok(Some(Order::Listening(a, none))) if a == known && none.is_empty())
        );
        assert!(matches!(next(), Ok(Some(Order::Serve))));
        assert!(next().is_err(), "half an address");
        drop(master);
        assert!(matches!(next(), Ok(None)));
    }

    #[test]
    fn a_worker_that_does_not_read_is_not_waited_for() {
        let (master, worker) = links();
        let state = AppState { name: "php".to_owned(), ..AppState::default() };
        while master.order_app(&state).is_ok() {}
        assert!(matches!(worker.next_order(), Ok(Some(Order::App(told))) if told == state));
        assert!(master.order_app(&state).is_ok());
    }

    #[test]
    fn news_arrive_or_are_none() {
        let (master, worker) = links();
        let all = [
            News::Serving,
            News::AppRequests(3, 1 << 40),
            News::AppLeft(3),
            News::AppDrained(3),
            News::Draining,
            News::Fixed("threads".to_owned()),
            News::Failed("a\nb".to_owned()),
        ];
        all.iter().for_each(|news| worker.tell(news));
        let read = [(); 7].map(|()| master.next_news().unwrap());
        assert_eq!(format!("{read:?}"), format!("{all:?}"));
        worker.tell(&News::State(File::open("/dev/null").unwrap().into()));
        assert!(matches!(master.next_news(), Some(News::State(_))));
        pass::send(worker.as_fd(), b"nonsense", &[]).unwrap();
        assert!(master.next_news().is_none());
        drop(worker);
        assert!(master.next_news().is_none());
    }
}
