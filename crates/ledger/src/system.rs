//! The system space: what belongs to no pool, and what all coordinators of a nexus must agree on before they use it.
//!
//! Three records: the format of everything stored, the key that lease tokens are made with, and the identity of the vault.
//! The first coordinator ever writes them, all others find them. Two versions of HiveForge side by side thereby agree or
//! refuse, and never corrupt.

use nexus::{Class, Durability, Guard, Nexus, NexusError, Outcome, Space, Standing, Transaction, Version};
use serde::{Deserialize, Serialize};

use crate::error::LedgerError;
use crate::ledger::{Ledger, TRIES_MAX};
use crate::record::{self, Undecodable};

/// The record of the format.
pub const FORMAT: &str = "format";
/// The record of the lease key: its bare bytes.
pub const LEASE_KEY: &str = "keys/lease";
/// The record of the vault's identity.
pub const VAULT: &str = "vault";

/// The format that this version writes.
pub const OUR_FORMAT: Format = Format { major: 1, minor: 1 };

/// A version of everything stored. A reader understands its own major version alone, of any minor one: what a newer
/// minor version has added is kept and passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Format {
    /// Raised by a change that an older reader would misunderstand.
    pub major: u32,
    /// Raised by an addition.
    pub minor: u32,
}

/// Which vault holds the blobs that the nexus names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct VaultRecord {
    id: String,
}

/// What a coordinator brings to the agreement.
#[derive(Clone)]
pub struct Terms {
    /// The lease key, should there be none: random bytes, or what the key was before the store was emptied.
    pub lease_key: [u8; 32],
    /// The identity of its vault.
    pub vault_id: String,
    /// Where its vault is, for the words of a refusal.
    pub vault_path: String,
}

/// What all have agreed on.
pub struct Agreed {
    /// The key of this nexus's lease tokens.
    pub lease_key: [u8; 32],
}

/// Why this coordinator must not use this nexus.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Disagreement {
    /// The store itself is set up wrongly; in its words.
    #[error("the nexus cannot be used like this: {0}")]
    Unfit(String),
    /// A version with another major format has written here.
    #[error(
        "the nexus has format {}.{}, this version knows {}.x: run a version of HiveForge that knows it",
        found.major, found.minor, OUR_FORMAT.major
    )]
    Format {
        /// What is there.
        found: Format,
    },
    /// A record of the system space is none of ours.
    #[error("the nexus is not one of this version of HiveForge: {0}")]
    Foreign(#[from] Undecodable),
    /// The vault of this coordinator is not the one of the others.
    #[error(
        "the vault in {path} is {here}, but the nexus names {named}: give this coordinator the vault of the others \
         (--vault DIR), or, if that one is lost for good, write {named} into {path}/id"
    )]
    Vault {
        /// Where this coordinator's vault is.
        path: String,
        /// The identity of it.
        here: String,
        /// The identity of the others'.
        named: String,
    },
}

impl Disagreement {
    /// Says whether only another program or another store can help, so that waiting is useless.
    pub const fn is_final(&self) -> bool {
        match self {
            Self::Unfit(_) | Self::Format { .. } | Self::Foreign(_) => true,
            Self::Vault { .. } => false,
        }
    }
}

/// There is no agreement.
#[derive(Debug, thiserror::Error)]
pub enum NotAgreed {
    /// Nor will there be, as things are.
    #[error(transparent)]
    Disagreement(#[from] Disagreement),
    /// Not now.
    #[error(transparent)]
    Ledger(LedgerError),
    /// Not now either: somebody else was faster again and again.
    #[error("what all coordinators agree on changes too fast")]
    Contended,
}

impl From<NexusError> for NotAgreed {
    fn from(error: NexusError) -> Self {
        match error.unfit() {
            Some(why) => Disagreement::Unfit(why.to_string()).into(),
            None => Self::Ledger(error.into()),
        }
    }
}

impl From<LedgerError> for NotAgreed {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Nexus(error) => error.into(),
            error => Self::Ledger(error),
        }
    }
}

impl Ledger {
    /// What the store says of itself.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn standing(&self) -> Result<Standing, LedgerError> {
        Ok(self.nexus.standing().await?)
    }

    /// Agrees with everybody else who uses this nexus, or says why not. Writes only what is missing, so it may be done
    /// again at any time, and is worth it: a store that was emptied gets back what was agreed.
    ///
    /// # Errors
    /// [`NotAgreed`] tells a disagreement from a nexus that does not answer.
    pub async fn agree(&self, terms: &Terms) -> Result<Agreed, NotAgreed> {
        let space = system_space();
        for _ in 0..TRIES_MAX {
            let found = Found::read(&*self.nexus, &space).await?;
            found.check(terms)?;
            let mut tx = Transaction::new(self.tx_id(), Class::Relief);
            found.complete(terms, &mut tx);
            if tx.puts.is_empty() {
                let key = found.key.expect("the record is written where it is missing");
                return Ok(Agreed { lease_key: key });
            }
            // Whoever was first, what stands there now is read anew.
            match self.nexus.commit(&space, vec![tx], Durability::Disk).await?.pop() {
                Some(Outcome::Full) => return Err(LedgerError::Full.into()),
                Some(Outcome::Applied | Outcome::Already | Outcome::Refused { .. }) | None => {}
            }
        }
        Err(NotAgreed::Contended)
    }
}

/// What stands in the system space.
struct Found {
    format: Option<(Format, Version)>,
    key: Option<[u8; 32]>,
    vault: Option<String>,
}

impl Found {
    async fn read(nexus: &dyn Nexus, space: &Space) -> Result<Self, NotAgreed> {
        let wanted = [FORMAT, LEASE_KEY, VAULT].map(str::to_owned);
        let mut records = nexus.fetch(space, &wanted).await?.into_iter();
        let mut next = || records.next().flatten();
        let (format, key, vault) = (next(), next(), next());
        let foreign = |error: Undecodable| NotAgreed::from(Disagreement::from(error));
        let format = format.map(|record| {
            let found: Format = record::decode(FORMAT, &record.bytes).map_err(foreign)?;
            match found.major == OUR_FORMAT.major {
                true => Ok((found, record.version)),
                // What else stands there need not be what this version takes it for.
                false => Err(NotAgreed::from(Disagreement::Format { found })),
            }
        });
        let format = format.transpose()?;
        let key = key.map(|record| {
            let bytes = record.bytes.len();
            record.bytes.try_into().map_err(|_| {
                foreign(Undecodable::Content {
                    key: LEASE_KEY.to_owned(),
                    why: format!("a key has 32 bytes, not {bytes}"),
                })
            })
        });
        let vault = vault.map(|record| {
            let VaultRecord { id } = record::decode(VAULT, &record.bytes).map_err(foreign)?;
            Ok::<_, NotAgreed>(id)
        });
        Ok(Self {
            format,
            key: key.transpose()?,
            vault: vault.transpose()?,
        })
    }

    fn check(&self, terms: &Terms) -> Result<(), Disagreement> {
        match &self.vault {
            Some(named) if *named != terms.vault_id => Err(Disagreement::Vault {
                path: terms.vault_path.clone(),
                here: terms.vault_id.clone(),
                named: named.clone(),
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// Adds what is missing, each guarded by what was found.
    fn complete(&self, terms: &Terms, tx: &mut Transaction) {
        let format = self.format.as_ref();
        if format.is_none_or(|(found, _)| found.minor < OUR_FORMAT.minor) {
            let version = format.map(|(_, version)| *version);
            put(tx, FORMAT, version, record::encode(&OUR_FORMAT));
        }
        if self.key.is_none() {
            put(tx, LEASE_KEY, None, terms.lease_key.to_vec());
        }
        if self.vault.is_none() {
            let id = terms.vault_id.clone();
            put(tx, VAULT, None, record::encode(&VaultRecord { id }));
        }
    }
}

fn put(tx: &mut Transaction, key: &str, version: Option<Version>, bytes: Vec<u8>) {
    tx.guards.push(Guard::Record(key.to_owned(), version));
    tx.puts.push((key.to_owned(), bytes));
}

/// The space that belongs to no pool.
pub fn system_space() -> Space {
    Space::new("system").expect("the name is made of a space's characters")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use nexus::{Clock, MemoryNexus, TxId};

    use super::*;

    fn tx_id() -> TxId {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        TxId(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    fn ledger(nexus: &Arc<MemoryNexus>) -> Ledger {
        Ledger::new(
            Arc::clone(nexus) as _,
            "default".parse().unwrap(),
            Arc::new(tx_id),
        )
    }

    fn nexus() -> Arc<MemoryNexus> {
        Arc::new(MemoryNexus::new(Clock::system()))
    }

    fn terms(byte: u8, vault: &str) -> Terms {
        Terms {
            lease_key: [byte; 32],
            vault_id: vault.to_owned(),
            vault_path: format!("/vaults/{vault}"),
        }
    }

    async fn stored(nexus: &MemoryNexus, key: &str) -> Option<Vec<u8>> {
        let found = nexus
            .fetch(&system_space(), &[key.to_owned()])
            .await
            .unwrap()
            .pop();
        found.flatten().map(|record| record.bytes)
    }

    async fn store(nexus: &MemoryNexus, key: &str, bytes: Vec<u8>) {
        let mut tx = Transaction::new(tx_id(), Class::Growth);
        tx.puts.push((key.to_owned(), bytes));
        nexus
            .commit(&system_space(), vec![tx], Durability::Disk)
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn what_the_first_coordinator_brings_all_others_find() {
        let nexus = nexus();
        for byte in [1, 2, 3] {
            let agreed = ledger(&nexus).agree(&terms(byte, "one")).await.unwrap();
            assert_eq!(agreed.lease_key, [1; 32]);
        }
        let format: Format = record::decode(FORMAT, &stored(&nexus, FORMAT).await.unwrap()).unwrap();
        assert_eq!(format, OUR_FORMAT);
    }

    #[tokio::test]
    async fn a_store_that_was_emptied_gets_back_what_was_agreed() {
        let agreed = ledger(&nexus()).agree(&terms(1, "one")).await.unwrap();
        let emptied = ledger(&nexus());
        let again = Terms {
            lease_key: agreed.lease_key,
            ..terms(2, "one")
        };
        assert_eq!(emptied.agree(&again).await.unwrap().lease_key, [1; 32]);
    }

    #[tokio::test]
    async fn another_vault_is_refused_with_both_ids_and_the_way_out_and_nothing_is_written() {
        let nexus = nexus();
        let agreed = ledger(&nexus).agree(&terms(1, "one")).await;
        assert!(agreed.is_ok());
        let Err(NotAgreed::Disagreement(why)) = ledger(&nexus).agree(&terms(2, "two")).await else {
            panic!("two vaults");
        };
        assert_eq!(
            why.to_string(),
            "the vault in /vaults/two is two, but the nexus names one: give this coordinator the vault of the others \
             (--vault DIR), or, if that one is lost for good, write one into /vaults/two/id"
        );
        assert!(!why.is_final());
    }

    #[tokio::test]
    async fn a_newer_major_format_is_refused_and_stays_as_it_is() {
        let nexus = nexus();
        let newer = record::encode(&Format { major: 2, minor: 0 });
        store(&nexus, FORMAT, newer.clone()).await;
        store(&nexus, VAULT, b"in a way that is not known yet".to_vec()).await;
        let Err(NotAgreed::Disagreement(why)) = ledger(&nexus).agree(&terms(1, "one")).await else {
            panic!("a newer format");
        };
        assert!(why.is_final());
        assert!(
            why.to_string().contains("has format 2.0, this version knows 1.x"),
            "{why}"
        );
        assert_eq!(stored(&nexus, FORMAT).await, Some(newer));
        assert_eq!(stored(&nexus, LEASE_KEY).await, None);
    }

    #[tokio::test]
    async fn a_newer_minor_format_is_lived_with_and_an_older_one_is_raised() {
        for (minor, expected) in [
            (OUR_FORMAT.minor + 5, OUR_FORMAT.minor + 5),
            (0, OUR_FORMAT.minor),
        ] {
            let nexus = nexus();
            let found = Format {
                major: OUR_FORMAT.major,
                minor,
            };
            store(&nexus, FORMAT, record::encode(&found)).await;
            let agreed = ledger(&nexus).agree(&terms(1, "one")).await;
            assert!(agreed.is_ok());
            let format: Format = record::decode(FORMAT, &stored(&nexus, FORMAT).await.unwrap()).unwrap();
            assert_eq!(format.minor, expected);
        }
    }

    #[tokio::test]
    async fn a_record_that_is_none_of_ours_is_refused() {
        for key in [FORMAT, LEASE_KEY, VAULT] {
            let nexus = nexus();
            store(&nexus, key, b"something else".to_vec()).await;
            let Err(NotAgreed::Disagreement(why)) = ledger(&nexus).agree(&terms(1, "one")).await else {
                panic!("{key}");
            };
            assert!(why.is_final() && why.to_string().contains(key), "{why}");
        }
    }
}
