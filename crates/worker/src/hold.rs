//! The body of a request is read before there is an endpoint: a client that sends slowly then
//! holds none of those that are slow themselves.

use fairwater_message::{BodyLength, Fault};
use fairwater_proto::h1::asks_upgrade;

use crate::exchange::Exchange;
use crate::grpc;
use crate::record::Record;
use crate::shard::Shard;

/// What of a body is held counts until this is dropped.
#[derive(Debug)]
pub(crate) struct Holding<'a> {
    shard: &'a Shard,
    bytes: usize,
}

impl<'a> Holding<'a> {
    pub(crate) fn new(shard: &'a Shard) -> Self {
        Self { shard, bytes: 0 }
    }

    /// Counts so much in place of what was counted before.
    pub(crate) fn count(&mut self, bytes: usize) {
        self.shard.held_bytes.set(self.others() + bytes);
        self.bytes = bytes;
    }

    /// Counts so much, if there is room for it, and memory for whatever else comes.
    pub(crate) fn has_room_for(&mut self, bytes: usize) -> bool {
        let is_short = self.shard.is_short();
        let has_room = !is_short && self.others() + bytes <= self.shard.held_bytes_max;
        if has_room {
            self.count(bytes);
        }
        has_room
    }

    fn others(&self) -> usize {
        self.shard.held_bytes.get() - self.bytes
    }
}

impl Drop for Holding<'_> {
    fn drop(&mut self) {
        self.shard.held_bytes.set(self.shard.held_bytes.get() - self.bytes);
    }
}

/// Reads the body until it is whole, or has more than `bytes_max`, or there is no room for more of
/// it: then the rest is sent on as it comes.
pub(crate) async fn run(
    exchange: &mut Exchange<'_>,
    bytes_max: usize,
    record: &mut Record<'_>,
) -> Result<(), Fault> {
    let (head, bytes) = (exchange.head, exchange.bytes);
    // Calls of gRPC and tunnels are conversations: who waits for the end waits for ever.
    let is_conversation = grpc::is_call(head, bytes) || asks_upgrade(head, bytes).is_some();
    if head.body == BodyLength::None || is_conversation || exchange.source.is_done() {
        return Ok(());
    }
    let patience = exchange.patience();
    if head.expects_continue && exchange.source.behind().is_empty() {
        exchange.reply.sink.go_on(patience, head).await?;
    }
    let holding = Holding::new(exchange.shard);
    exchange.source.hold(bytes_max, holding, patience).await?;
    record.is_whole();
    Ok(())
}
