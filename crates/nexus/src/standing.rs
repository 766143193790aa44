//! What a store says of itself: what it is, what an acknowledgement is worth on it, and whether it is still the one it was.

/// The standing of a store at one moment. For people and for metrics; only [`Standing::era`] is for decisions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Standing {
    /// What it is, e.g. `sqlite` or `redis 7.0.15, primary of 1 replica`.
    pub description: String,
    /// What an acknowledged commit of [`Durability::Disk`](crate::Durability::Disk) survives.
    pub durability: String,
    /// Another value than before says that acknowledged writes may be missing: another process or another replica answers
    /// now. Whoever can, tells again what it was acknowledged lately. Not ordered, only compared.
    pub era: String,
    /// Commits, since this process opened the store, that fewer replicas had than were asked for. They were acknowledged all
    /// the same.
    pub short_replications: u64,
    /// How full it is; `None` where nothing bounds it but the disk.
    pub room: Option<Room>,
    /// Settings that weaken what people may expect, one sentence each, with the way out.
    pub warnings: Vec<String>,
    /// Why it must not be used like this, with the way out; `None`: it may be.
    pub unfit: Option<String>,
}

/// How full a bounded store is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Room {
    /// In use.
    pub used: u64,
    /// Where growth is refused with [`Outcome::Full`](crate::Outcome::Full).
    pub growth_max: u64,
    /// Where the store itself refuses.
    pub max: u64,
}
