//! The modes that are measured: an arrangement of Redis, what befalls it, and what it promises then.

use servers::AppendOnly;

/// How a commit is replicated before it is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replication {
    /// There is no replica.
    None,
    /// There is one, and nobody waits for it.
    Async,
    /// Each acknowledgement waits for it, for a limited time.
    Wait,
}

/// What befalls the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Calamity {
    /// It is killed under load and started again.
    KilledAndRestarted,
    /// It is killed under load while it syncs its file, and started again.
    KilledWhileItSyncs,
    /// It is killed under load, and its replica takes over.
    KilledAndReplaced,
    /// It is cut off from its replica, goes on for a while, is killed, and its replica takes over.
    CutOffAndReplaced,
}

/// What may be missing of what was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Promise {
    /// Nothing.
    LosesNothing,
    /// What was acknowledged in the last seconds before the kill: while Redis syncs what it wrote in one second, it holds
    /// back what it would write in the next, for two seconds at most, and acknowledges all the same.
    LosesTheLastSeconds,
    /// What was reported as having fewer replicas than asked for.
    LosesWhatFellShort,
    /// Whatever was acknowledged before the primary noticed that it is alone; then it acknowledges nothing.
    StopsWhenAlone,
    /// Anything: it is measured and not promised.
    None,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mode {
    pub(crate) append_only: AppendOnly,
    pub(crate) replication: Replication,
    /// `min-replicas-to-write 1` with `min-replicas-max-lag 1`.
    pub(crate) wants_replica: bool,
    pub(crate) calamity: Calamity,
    pub(crate) promise: Promise,
}

impl Mode {
    /// All of them, in the order of the handbook's table.
    pub(crate) fn all() -> Vec<Self> {
        let alone = |append_only, calamity, promise| Self {
            append_only,
            replication: Replication::None,
            wants_replica: false,
            calamity,
            promise,
        };
        let pair = |replication, wants_replica, calamity, promise| Self {
            append_only: AppendOnly::No,
            replication,
            wants_replica,
            calamity,
            promise,
        };
        use Calamity::{CutOffAndReplaced, KilledAndReplaced, KilledAndRestarted, KilledWhileItSyncs};
        use Replication::{Async, Wait};
        vec![
            alone(AppendOnly::No, KilledAndRestarted, Promise::None),
            alone(
                AppendOnly::EverySecond,
                KilledAndRestarted,
                Promise::LosesTheLastSeconds,
            ),
            alone(
                AppendOnly::EverySecond,
                KilledWhileItSyncs,
                Promise::LosesTheLastSeconds,
            ),
            alone(AppendOnly::Always, KilledAndRestarted, Promise::LosesNothing),
            pair(Async, false, KilledAndReplaced, Promise::None),
            pair(Wait, false, KilledAndReplaced, Promise::LosesNothing),
            pair(Async, false, CutOffAndReplaced, Promise::None),
            pair(Async, true, CutOffAndReplaced, Promise::StopsWhenAlone),
            pair(Wait, false, CutOffAndReplaced, Promise::LosesWhatFellShort),
            pair(Wait, true, CutOffAndReplaced, Promise::LosesWhatFellShort),
        ]
    }

    /// What is configured, for the table.
    pub(crate) fn setting(&self) -> String {
        let disk = match self.append_only {
            AppendOnly::No => "appendonly no",
            AppendOnly::EverySecond => "appendfsync everysec",
            AppendOnly::Always => "appendfsync always",
        };
        let replica = match self.replication {
            Replication::None => return disk.to_owned(),
            Replication::Async => "replica, nobody waits",
            Replication::Wait => "replica, WAIT 1",
        };
        match self.wants_replica {
            true => format!("{replica}, min-replicas-to-write 1"),
            false => replica.to_owned(),
        }
    }

    /// What happens, for the table.
    pub(crate) fn event(&self) -> &'static str {
        match self.calamity {
            Calamity::KilledAndRestarted => "kill -9, restart",
            Calamity::KilledWhileItSyncs => "kill -9 during a sync, restart",
            Calamity::KilledAndReplaced => "kill -9, replica promoted",
            Calamity::CutOffAndReplaced => "cut off from its replica, kill -9, replica promoted",
        }
    }
}
