//! Agents as the ledger keeps them: what each process said of itself, when it was last seen, and whether its name is
//! told to drain.
//!
//! None of it is needed for safety; a lost agent's leases are the reaper's business. Agents that have not been seen
//! for [`FORGET_AFTER`] are forgotten, so that ephemeral agents do not pile up.

use std::collections::BTreeSet;
use std::time::Duration;

use domain::{AgentId, AgentName, Timestamp};
use nexus::{Ascending, Class, Descending, Discard, Durability, Guard, Move, Score, Transaction};

use crate::error::LedgerError;
use crate::keys;
use crate::ledger::Ledger;
use crate::record::{self, AgentNameRecord, AgentRecord};

/// How long an agent that is not heard of stays in the list.
pub(crate) const FORGET_AFTER: Duration = Duration::from_secs(3600);
/// Agents that are noted as seen by one transaction.
const TOUCHED_AT_ONCE: usize = 1_024;
/// Agents that are forgotten in one go.
const FORGET_AT_ONCE: usize = nexus::limits::PAGE_MAX;

impl Ledger {
    /// Records what an agent says of itself, and that it was seen.
    ///
    /// # Errors
    /// The nexus does not answer.
    pub async fn enrol(&self, agent: &AgentRecord) -> Result<(), LedgerError> {
        let now = self.now().await?;
        let mut tx = Transaction::new(self.tx_id(), Class::Relief);
        let key = keys::agent(&agent.id);
        let earlier = self.stored::<AgentRecord>(&key).await;
        let bytes = match earlier {
            Ok(Some((_, earlier))) => earlier.rewritten(&AgentRecord {
                enrolled_at: earlier.value.enrolled_at,
                ..agent.clone()
            }),
            Ok(None) | Err(LedgerError::Undecodable(_)) => record::encode(&AgentRecord {
                enrolled_at: now,
                ..agent.clone()
            }),
            Err(error) => return Err(error),
        };
        tx.puts.push((key, bytes));
        tx.moves.push(seen(&agent.id, now));
        self.commit_one(tx, Durability::Process).await.map(drop)
    }

    /// Notes that agents were heard of: one commit for as many as go into one transaction.
    ///
    /// # Errors
    /// The nexus does not answer.
    pub async fn touch(&self, agents: &BTreeSet<AgentId>) -> Result<(), LedgerError> {
        if agents.is_empty() {
            return Ok(());
        }
        let now = self.now().await?;
        let agents: Vec<&AgentId> = agents.iter().collect();
        let txs = agents.chunks(TOUCHED_AT_ONCE).map(|part| {
            let mut tx = Transaction::new(self.tx_id(), Class::Relief);
            tx.moves = part.iter().map(|agent| seen(agent, now)).collect();
            tx
        });
        self.commit_counted(txs.collect(), Durability::Process)
            .await
            .map(drop)
    }

    /// What an agent said of itself.
    ///
    /// # Errors
    /// The nexus does not answer.
    pub async fn agent(&self, id: &AgentId) -> Result<Option<AgentRecord>, LedgerError> {
        let key = keys::agent(id);
        let found = self.fetch_one(&key).await?;
        Ok(found
            .map(|record| record::decode(&key, &record.bytes))
            .transpose()?)
    }

    /// All agents that are not forgotten, with when each was last seen; the newest 1,024.
    ///
    /// # Errors
    /// The nexus does not answer.
    pub async fn agents(&self) -> Result<Vec<(AgentRecord, Timestamp)>, LedgerError> {
        let page = Descending {
            before: None,
            down_to: None,
            n: nexus::limits::PAGE_MAX,
        };
        let seen = self.nexus.range_back(&self.space, keys::AGENTS, page).await?;
        let wanted: Vec<String> = seen.iter().map(|(_, id)| format!("agent/{id}")).collect();
        let records = self.nexus.fetch(&self.space, &wanted).await?;
        let mut agents = Vec::with_capacity(records.len());
        for ((score, id), found) in seen.into_iter().zip(records) {
            let Some(found) = found else { continue };
            match record::decode(&format!("agent/{id}"), &found.bytes) {
                Ok(record) => agents.push((record, Timestamp(score.get()))),
                Err(error) => tracing::error!(agent = %id, %error, "an agent cannot be listed"),
            }
        }
        Ok(agents)
    }

    /// Whether agents of this name take no more jobs.
    ///
    /// # Errors
    /// The nexus does not answer.
    pub async fn draining(&self, name: &AgentName) -> Result<bool, LedgerError> {
        let key = keys::agent_name(name);
        let found = self.fetch_one(&key).await?;
        let record: Option<AgentNameRecord> = found
            .map(|found| record::decode(&key, &found.bytes))
            .transpose()?;
        Ok(record.is_some_and(|record| record.draining))
    }

    /// Those of the names that are told to drain. One whose intent cannot be read counts as that: its agents hear why
    /// when they ask.
    ///
    /// # Errors
    /// The nexus does not answer.
    pub async fn told_to_drain(
        &self,
        names: BTreeSet<AgentName>,
    ) -> Result<BTreeSet<AgentName>, LedgerError> {
        let names: Vec<AgentName> = names.into_iter().collect();
        let mut draining = BTreeSet::new();
        for part in names.chunks(nexus::limits::FETCH_MAX) {
            let wanted: Vec<String> = part.iter().map(keys::agent_name).collect();
            let records = self.nexus.fetch(&self.space, &wanted).await?;
            for ((name, key), found) in part.iter().zip(&wanted).zip(records) {
                let Some(found) = found else { continue };
                let intent = record::decode::<AgentNameRecord>(key, &found.bytes);
                if let Err(error) = &intent {
                    tracing::error!(agent = %name, %error, "a drain intent cannot be read");
                }
                if intent.is_ok_and(|intent| !intent.draining) {
                    continue;
                }
                draining.insert(name.clone());
            }
        }
        Ok(draining)
    }

    /// Tells agents of this name to take no more jobs, or to take jobs again. Survives their restarts.
    ///
    /// # Errors
    /// The nexus does not answer.
    pub async fn set_draining(&self, name: &AgentName, draining: bool) -> Result<(), LedgerError> {
        let mut tx = Transaction::new(self.tx_id(), Class::Relief);
        let key = keys::agent_name(name);
        let next = AgentNameRecord { draining };
        let bytes = match self.stored(&key).await {
            Ok(Some((_, earlier))) => earlier.rewritten(&next),
            // What cannot be read is what this intent replaces.
            Ok(None) | Err(LedgerError::Undecodable(_)) => record::encode(&next),
            Err(error) => return Err(error),
        };
        tx.puts.push((key, bytes));
        // A waiting claim of that name looks again.
        tx.hints.push(keys::agent_name(name));
        self.commit_one(tx, Durability::Disk).await.map(drop)
    }

    /// Forgets agents that have not been seen for [`FORGET_AFTER`] and hold no lease. Returns how many.
    ///
    /// # Errors
    /// The nexus does not answer.
    pub async fn forget_agents(&self) -> Result<usize, LedgerError> {
        let now = self.now().await?;
        let horizon = now
            .as_millis()
            .saturating_sub(u64::try_from(FORGET_AFTER.as_millis()).unwrap_or(u64::MAX));
        let page = Ascending {
            after: None,
            up_to: Some(Score::saturating(horizon)),
            n: FORGET_AT_ONCE,
        };
        let old = self.nexus.range(&self.space, keys::AGENTS, page).await?;
        let txs: Vec<Transaction> = old
            .iter()
            .map(|(score, id)| {
                let mut tx = Transaction::new(self.tx_id(), Class::Relief);
                let leases = format!("{}/{id}", domain::job::AGENT_LEASES_FAMILY);
                tx.guards
                    .push(Guard::Member(keys::AGENTS.to_owned(), id.clone(), Some(*score)));
                tx.guards.push(Guard::Room(leases, 0));
                tx.moves.push(Move {
                    set: keys::AGENTS.to_owned(),
                    member: id.clone(),
                    score: None,
                });
                tx.drops.push(Discard::Record(format!("agent/{id}")));
                tx
            })
            .collect();
        self.commit_counted(txs, Durability::Process).await
    }
}

fn seen(agent: &AgentId, now: Timestamp) -> Move {
    let score = Some(Score::saturating(now.as_millis()));
    Move {
        set: keys::AGENTS.to_owned(),
        member: agent.as_str().to_owned(),
        score,
    }
}
