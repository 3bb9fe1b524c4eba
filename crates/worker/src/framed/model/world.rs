//! A small world of clients, connections and endpoints around the real `Ledger` and `Order`. Bytes
//! say what they are, so that whoever gets one knows whether it is his.

use super::super::ledger::{Claim, Ledger, OPEN_END};
use super::super::order::{Delivery, End, Order};

/// What a world is made of, and how it begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub clients: usize,
    pub messages: u8,
    pub connections: usize,
    /// Messages on one connection, and of one client.
    pub depth: u32,
    pub in_flight: u64,
    /// Connections that may be opened in all.
    pub opened: u8,
    /// Things that may go wrong in all.
    pub troubles: u8,
    /// A message may come in two pieces, the first of which is sent on.
    pub cuts: bool,
    /// The first piece of a reply goes on before the second one is there.
    pub streams: bool,
    /// `on_client_close = "abort"`, `retry_unsafe` and a text for `on_error`.
    pub aborts: bool,
    pub repeats: bool,
    pub texts: bool,
    pub flaw: Option<Flaw>,
}

/// A mistake that is made on purpose, for the check to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// Who waits no longer is taken out of the ledger, with what is owed.
    DebtsAreForgotten,
    /// A connection of depth 1 whose reply is late is used again.
    LateOnesAreUsed,
    /// A connection is taken for idle though something has come on it.
    NewsAreIgnored,
    /// Another message goes out behind one that is torn.
    TornOnesAreUsed,
    /// A message is sent again though a part of its reply has gone out.
    BegunOnesAreRepeated,
    /// A text stands behind a part of a reply.
    TextsFollowParts,
    /// Replies go out as they come.
    OrderIsIgnored,
    /// Whoever was late is not told.
    LateOnesAreDropped,
}

/// A message: its client, and which of his.
pub(super) type Name = (u8, u8);

/// What a byte is that a client gets.
const FIRST: u8 = 0;
const LAST: u8 = 1;
const TEXT: u8 = 2;
const UNASKED: u8 = 0xff;

fn byte(name: Name, kind: u8) -> u8 {
    name.0 << 6 | name.1 << 3 | kind
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Job {
    name: Name,
    is_cut: bool,
    is_repeated: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Client {
    order: Order,
    /// All bytes that it has got.
    got: Vec<u8>,
    sent: u8,
    /// The last message has begun and goes on.
    is_sending: bool,
    is_gone: bool,
    is_over: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Connection {
    ledger: Ledger<Job>,
    is_open: bool,
    is_retired: bool,
    has_writer: bool,
    /// Bytes that were given out, and that the endpoint has. A message has two.
    out: u64,
    written: u64,
    /// Pieces of a reply that goes to the client when it is whole.
    stored: Vec<u8>,
    is_begun: bool,
    /// What the endpoint has been sent and has not answered, with where it begins.
    asked: Vec<(Name, u64)>,
    /// It has sent the first piece of its reply.
    answers: bool,
    /// What it has sent and nobody has read.
    news: Vec<u8>,
    is_unasked: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    clients: Vec<Client>,
    connections: Vec<Connection>,
    waiting: Vec<Job>,
    opened: u8,
    troubles: u8,
}

/// What may happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A client sends a message, its beginning, or its end.
    Sends(usize),
    Begins(usize),
    GoesOn(usize),
    /// A client goes, in the middle of a message or not.
    Goes(usize),
    Opens(usize),
    /// A socket takes a byte.
    Takes(usize),
    /// The endpoint sends a piece of its next reply, or what nobody has asked for.
    Answers(usize),
    Blurts(usize),
    /// A piece is read.
    Reads(usize),
    /// The endpoint closes; a reset takes along what was not read.
    Closes(usize),
    Resets(usize),
    /// The oldest reply of a connection is late, or the first one of those that wait.
    IsLate(usize),
    WaitsTooLong,
}

/// What was done that must not be.
pub(super) type Breach = String;

impl World {
    pub(super) fn new(shape: &Shape) -> Self {
        Self {
            clients: vec![Client::default(); shape.clients],
            connections: vec![Connection::default(); shape.connections],
            waiting: Vec::new(),
            opened: 0,
            troubles: 0,
        }
    }

    /// Everything that may happen next.
    pub(super) fn events(&self, shape: &Shape) -> Vec<Event> {
        let mut events = Vec::new();
        let is_trouble_left = self.troubles < shape.troubles;
        for (at, client) in self.clients.iter().enumerate() {
            let may_send = !client.is_gone
                && !client.is_over
                && !client.is_sending
                // All clients are alike: who comes first has the first number.
                && (at == 0 || self.clients[at - 1].sent > 0)
                && client.sent < shape.messages
                && client.order.open() < shape.in_flight;
            if may_send {
                events.push(Event::Sends(at));
            }
            if may_send && shape.cuts {
                events.push(Event::Begins(at));
            }
            if client.is_sending && self.writes_of(at).is_some() && !client.is_gone {
                events.push(Event::GoesOn(at));
            }
            if is_trouble_left && client.sent > 0 && !client.is_gone {
                events.push(Event::Goes(at));
            }
        }
        for (at, one) in self.connections.iter().enumerate() {
            if !one.is_open {
                if self.opened < shape.opened && !self.waiting.is_empty() {
                    events.push(Event::Opens(at));
                }
                continue;
            }
            if one.written < one.out {
                events.push(Event::Takes(at));
            }
            if one.asked.first().is_some_and(|(_, start)| one.written > *start) {
                events.push(Event::Answers(at));
            }
            if !one.news.is_empty() {
                events.push(Event::Reads(at));
            }
            if is_trouble_left {
                events.extend([Event::Closes(at), Event::Resets(at)]);
                if !one.ledger.is_empty() && one.ledger.is_whole() {
                    events.push(Event::IsLate(at));
                }
                // What comes once a message has gone out cannot be told from its reply.
                if one.ledger.is_empty() && !one.is_unasked {
                    events.push(Event::Blurts(at));
                }
            }
        }
        if is_trouble_left && !self.waiting.is_empty() {
            events.push(Event::WaitsTooLong);
        }
        events
    }

    /// The connection that the message of a client goes out over, piece by piece.
    fn writes_of(&self, client: usize) -> Option<usize> {
        let is_it = |job: &Job| job.is_cut && usize::from(job.name.0) == client;
        self.connections
            .iter()
            .position(|one| one.has_writer && one.ledger.owners().last().is_some_and(is_it))
    }

    /// Lets something happen.
    pub(super) fn step(&mut self, shape: &Shape, event: Event) -> Result<(), Breach> {
        use Event::*;
        if let Goes(_) | Blurts(_) | Closes(_) | Resets(_) | IsLate(_) | WaitsTooLong = event {
            self.troubles += 1;
        }
        match event {
            Sends(at) => self.send(shape, at, false)?,
            Begins(at) => self.send(shape, at, true)?,
            GoesOn(at) => self.go_on(at),
            Goes(at) => self.go(shape, at)?,
            Opens(at) => {
                self.opened += 1;
                self.connections[at] = Connection { is_open: true, ..Connection::default() };
                self.refill(shape, at)?;
            }
            Takes(at) => self.connections[at].written += 1,
            Answers(at) => self.connections[at].answer(),
            Blurts(at) => {
                self.connections[at].is_unasked = true;
                self.connections[at].news.push(UNASKED);
            }
            Reads(at) => self.read(shape, at)?,
            Closes(at) => {
                while self.connections[at].is_open && !self.connections[at].news.is_empty() {
                    self.read(shape, at)?;
                }
                self.close(shape, at)?;
            }
            Resets(at) => self.close(shape, at)?,
            IsLate(at) => self.is_late(shape, at)?,
            WaitsTooLong => {
                let job = self.waiting.remove(0);
                self.fail(shape, &job)?;
            }
        }
        self.check(shape)
    }

    fn send(&mut self, shape: &Shape, at: usize, is_cut: bool) -> Result<(), Breach> {
        let client = &mut self.clients[at];
        client.sent += 1;
        client.is_sending = is_cut;
        let number = client.order.begin();
        let job = Job { name: (at as u8, number as u8), is_cut, is_repeated: false };
        let free = |one: &Connection| {
            one.has_room(shape) && (one.is_quiet(shape) || !one.ledger.is_empty())
        };
        match self.connections.iter().position(free).filter(|_| self.waiting.is_empty()) {
            Some(free) => self.connections[free].send(shape, job),
            None => {
                self.waiting.push(job);
                Ok(())
            }
        }
    }

    fn go_on(&mut self, client: usize) {
        self.clients[client].is_sending = false;
        let Some(at) = self.writes_of(client) else { return };
        let one = &mut self.connections[at];
        one.out += 1;
        one.has_writer = false;
        if let Some((_, end)) = one.ledger.last() {
            *end = one.out;
        }
    }

    fn go(&mut self, shape: &Shape, at: usize) -> Result<(), Breach> {
        self.clients[at].is_gone = true;
        let is_own = |job: &Job| usize::from(job.name.0) == at;
        self.waiting.retain(|job| !is_own(job));
        if let Some(at) = self.writes_of(at) {
            let one = &mut self.connections[at];
            one.has_writer = false;
            if shape.flaw == Some(Flaw::TornOnesAreUsed) {
                if let Some((_, end)) = one.ledger.last() {
                    *end = one.out;
                }
            } else {
                one.ledger.tear_last();
                one.is_retired = true;
            }
        }
        for at in 0..self.connections.len() {
            let one = &mut self.connections[at];
            let must_end = shape.aborts && one.is_open && one.ledger.forsake(shape.depth, is_own);
            if must_end {
                self.close(shape, at)?;
            } else {
                self.end_if_over(shape, at)?;
            }
        }
        Ok(())
    }

    /// Takes in a piece, as the task of a connection does.
    fn read(&mut self, shape: &Shape, at: usize) -> Result<(), Breach> {
        let one = &mut self.connections[at];
        let piece = one.news.remove(0);
        if !one.ledger.is_asked(one.written) {
            return self.close(shape, at);
        }
        if piece & 7 == FIRST {
            one.is_begun = true;
            let Claim::Of(job) = one.ledger.part() else { return Ok(()) };
            let name = job.name;
            if shape.streams {
                return self.deliver(shape, name, &[piece], None);
            }
            one.stored.push(piece);
            return Ok(());
        }
        let is_early = !one.ledger.is_sent(one.written);
        one.is_begun = false;
        let mut stored = std::mem::take(&mut one.stored);
        stored.push(piece);
        match one.ledger.settle() {
            Claim::Of(job) => self.deliver(shape, job.name, &stored, Some(End::Whole))?,
            Claim::Nobody => {}
            Claim::Excess => return self.close(shape, at),
        }
        if is_early {
            return self.close(shape, at);
        }
        if self.connections[at].news.is_empty() {
            self.refill(shape, at)?;
        }
        self.end_if_over(shape, at)
    }

    /// A connection takes messages that wait.
    fn refill(&mut self, shape: &Shape, at: usize) -> Result<(), Breach> {
        while !self.waiting.is_empty() && self.connections[at].has_room(shape) {
            let job = self.waiting.remove(0);
            self.connections[at].send(shape, job)?;
        }
        Ok(())
    }

    fn end_if_over(&mut self, shape: &Shape, at: usize) -> Result<(), Breach> {
        let one = &self.connections[at];
        let is_idle = one.ledger.is_empty() && !one.has_writer && one.out == one.written;
        match one.is_open && one.is_retired && (one.ledger.has_only_torn() || is_idle) {
            true => self.close(shape, at),
            false => Ok(()),
        }
    }

    fn is_late(&mut self, shape: &Shape, at: usize) -> Result<(), Breach> {
        let one = &mut self.connections[at];
        let (was_begun, is_single) = (one.ledger.is_begun(), shape.depth == 1);
        let late = match shape.flaw {
            Some(Flaw::DebtsAreForgotten) if !is_single => match one.ledger.settle() {
                Claim::Of(job) => Some(job),
                _ => None,
            },
            Some(Flaw::LateOnesAreUsed) if is_single => match one.ledger.settle() {
                Claim::Of(job) => return self.failed(shape, &job, was_begun, false),
                _ => None,
            },
            Some(Flaw::LateOnesAreDropped) => {
                one.ledger.give_up_first(2);
                None
            }
            _ => one.ledger.give_up_first(shape.depth),
        };
        let Some(job) = late else { return self.close(shape, at) };
        one.is_retired = shape.flaw != Some(Flaw::DebtsAreForgotten);
        self.failed(shape, &job, was_begun, false)
    }

    /// A connection has ended.
    fn close(&mut self, shape: &Shape, at: usize) -> Result<(), Breach> {
        let mut one = std::mem::take(&mut self.connections[at]);
        let owners: Vec<_> = one.ledger.close().collect();
        for (job, was_begun, start) in owners {
            self.failed(shape, &job, was_begun, one.written <= start)?;
        }
        Ok(())
    }

    /// A message was sent and has failed.
    fn failed(
        &mut self,
        shape: &Shape,
        job: &Job,
        was_begun: bool,
        undelivered: bool,
    ) -> Result<(), Breach> {
        let may_go_on = !job.is_cut
            && !job.is_repeated
            && !self.clients[usize::from(job.name.0)].is_gone
            && (undelivered || shape.repeats);
        let is_whole = !was_begun || shape.flaw == Some(Flaw::BegunOnesAreRepeated);
        if is_whole && may_go_on {
            self.waiting.insert(0, Job { is_repeated: true, ..job.clone() });
            return Ok(());
        }
        self.fail(shape, job)
    }

    fn fail(&mut self, shape: &Shape, job: &Job) -> Result<(), Breach> {
        let client = &mut self.clients[usize::from(job.name.0)];
        let number = u64::from(job.name.1);
        let text = [byte(job.name, TEXT)];
        let text = shape.texts.then_some(&text[..]);
        let is_last = client.order.is_last(number);
        let (piece, end) = match (shape.flaw, text) {
            (Some(Flaw::TextsFollowParts), Some(text)) => (text, End::Whole),
            _ => client.order.instead(number, text),
        };
        self.deliver(shape, job.name, piece, Some(end))?;
        let client = &mut self.clients[usize::from(job.name.0)];
        client.is_over |= client.is_sending && is_last;
        Ok(())
    }

    fn deliver(
        &mut self,
        shape: &Shape,
        name: Name,
        piece: &[u8],
        end: Option<End>,
    ) -> Result<(), Breach> {
        let client = &mut self.clients[usize::from(name.0)];
        if client.is_gone || client.is_over {
            return Ok(());
        }
        let before = client.got.len();
        let got = &mut client.got;
        if shape.flaw == Some(Flaw::OrderIsIgnored) {
            got.extend_from_slice(piece);
        } else {
            let write = |piece: &[u8]| got.extend_from_slice(piece);
            let delivery = client.order.deliver(u64::from(name.1), piece, end, write);
            client.is_over = delivery == Ok(Delivery::Last);
        }
        let is_good = client.got.len() == before || has_own(&client.got, name.0);
        is_good.then_some(()).ok_or_else(|| format!("client {} has got {:?}", name.0, client.got))
    }

    /// What holds between any two events.
    fn check(&self, shape: &Shape) -> Result<(), Breach> {
        for one in self.connections.iter().filter(|one| one.is_open) {
            // The endpoint cannot owe more than the ledger knows of.
            let unread = one.news.iter().filter(|piece| **piece & 7 == LAST).count();
            let is_known = one.asked.len() + unread == one.ledger.len() || one.is_unasked;
            if !is_known && shape.flaw != Some(Flaw::DebtsAreForgotten) {
                return Err(format!("a debt is in no ledger: {one:?}"));
            }
        }
        if shape.flaw == Some(Flaw::OrderIsIgnored) {
            return Ok(());
        }
        for (at, client) in self.clients.iter().enumerate() {
            let is_own = |job: &&Job| usize::from(job.name.0) == at;
            let owed = self.connections.iter().flat_map(|one| one.ledger.owners());
            let under_way = owed.chain(&self.waiting).filter(is_own).count() as u64;
            // Each message has one end, and until then is somewhere.
            let kept = client.order.kept();
            if !client.is_gone && !client.is_over && under_way + kept != client.order.open() {
                return Err(format!("a message of client {at} is lost, or there twice: {self:?}"));
            }
        }
        Ok(())
    }
}

/// Whether these are replies to the first messages of a client, in their order: each is whole, or a
/// text, or the beginning of one that nothing follows.
fn has_own(got: &[u8], client: u8) -> bool {
    let mut rest = got;
    for number in 0.. {
        let reply = [byte((client, number), FIRST), byte((client, number), LAST)];
        let text = byte((client, number), TEXT);
        rest = match rest {
            [] => return true,
            [first] if *first == reply[0] => return true,
            [first, last, behind @ ..] if [*first, *last] == reply => behind,
            [first, behind @ ..] if *first == text => behind,
            _ => return false,
        };
    }
    false
}

impl Connection {
    fn has_room(&self, shape: &Shape) -> bool {
        self.is_open && !self.is_retired && !self.has_writer && self.ledger.has_room(shape.depth)
    }

    /// Whether nothing has come on it.
    fn is_quiet(&self, shape: &Shape) -> bool {
        self.news.is_empty() || shape.flaw == Some(Flaw::NewsAreIgnored)
    }

    fn send(&mut self, shape: &Shape, job: Job) -> Result<(), Breach> {
        if shape.depth == 1 && !self.asked.is_empty() {
            return Err(format!("a connection with a debt is taken for idle: {self:?}"));
        }
        if self.asked.last().is_some_and(|(_, start)| self.out < start + 2) {
            return Err(format!("a message goes out within another: {self:?}"));
        }
        let start = self.out;
        self.asked.push((job.name, start));
        self.has_writer = job.is_cut;
        self.out += if job.is_cut { 1 } else { 2 };
        let end = if job.is_cut { OPEN_END } else { self.out };
        self.ledger.owe(job, start, end);
        Ok(())
    }

    fn answer(&mut self) {
        let name = self.asked[0].0;
        self.news.push(byte(name, if self.answers { LAST } else { FIRST }));
        if self.answers {
            self.asked.remove(0);
        }
        self.answers = !self.answers;
    }
}
