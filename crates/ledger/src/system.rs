//! The system space: what belongs to no pool. So far one record, the key that lease tokens are made with.

use nexus::{Class, Durability, Guard, Nexus, Space, Transaction, TxId};

use crate::error::LedgerError;

/// The record of the lease key.
const LEASE_KEY: &str = "keys/lease";

/// The key of this nexus's lease tokens. The first coordinator ever makes it, of `fresh`; all others read it.
///
/// # Errors
/// The nexus does not answer.
pub async fn lease_key(nexus: &dyn Nexus, id: TxId, fresh: [u8; 32]) -> Result<[u8; 32], LedgerError> {
    let space = Space::new("system").expect("the name is made of a space's characters");
    let mut tx = Transaction::new(id, Class::Growth);
    tx.guards.push(Guard::Record(LEASE_KEY.to_owned(), None));
    tx.puts.push((LEASE_KEY.to_owned(), fresh.to_vec()));
    nexus.commit(&space, vec![tx], Durability::Disk).await?;
    // Whoever was first, the key is what stands there now.
    let found = nexus
        .fetch(&space, &[LEASE_KEY.to_owned()])
        .await?
        .pop()
        .flatten();
    found
        .and_then(|record| record.bytes.try_into().ok())
        .ok_or(LedgerError::Full)
}
