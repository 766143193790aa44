//! A claim as a request: who asks, for how much, holding what.
//!
//! Both the poller and the reporter make claims; what they say of the agent is the same and is put together here.

use std::time::Duration;

use protocol::leases::{ClaimReply, ClaimRequest};

use crate::Station;
use crate::clock::BootTime;
use crate::table::Room;

/// A claim for the slots of `room`, to be answered after `wait` at the latest.
pub(crate) fn request(station: &Station, room: Option<&Room>, wait: Duration) -> ClaimRequest {
    let enrolled = station.connection.borrow().enrolled;
    ClaimRequest {
        agent: station.info.id.clone(),
        slots: room.map_or(0, |room| room.slots),
        ahead: room.and_then(|room| room.ahead.clone()),
        free: station.table.free(),
        held: station.table.held(),
        wait_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
        enrol: (!enrolled).then(|| Box::new(station.info.clone())),
    }
}

/// Takes in the reply to a claim that was sent at `sent_at`. Returns how many leases are new.
pub(crate) fn accept(station: &Station, reply: ClaimReply, sent_at: BootTime) -> usize {
    station.connect(|connection| connection.enrolled = true);
    station.table.draining(reply.draining);
    station.table.admit(reply.leases, sent_at)
}
