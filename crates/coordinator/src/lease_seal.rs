//! Lease tokens: an HMAC over job, attempt and agent, so that any coordinator can make and check them and none is stored.
//!
//! The key lives in the nexus. A token proves that this agent was once given this attempt; whether that is still the live
//! lease is the domain's question, asked at each write. The agent belongs to it because a nexus that lost its newest writes
//! gives an attempt's number out a second time.

use domain::{AgentId, JobId, ProvenLease};
use hmac::{Hmac, KeyInit as _, Mac as _};
use protocol::LeaseToken;
use sha2::Sha256;

/// Makes and checks lease tokens.
#[derive(Clone)]
pub struct LeaseSeal {
    key: [u8; 32],
}

impl LeaseSeal {
    /// A seal with this key. All coordinators of a nexus share one.
    pub const fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// The key.
    pub(crate) const fn key(&self) -> [u8; 32] {
        self.key
    }

    /// The token of the attempt that an agent was given.
    pub fn token(&self, job: &JobId, attempt: u32, agent: &AgentId) -> LeaseToken {
        let seal = self.mac(job, attempt, agent).finalize().into_bytes();
        LeaseToken::new(attempt, agent, &hex::encode(seal))
    }

    /// The lease that the token proves for this job; none when it proves nothing. Compares in constant time.
    pub fn lease(&self, job: &JobId, token: &LeaseToken) -> Option<ProvenLease> {
        let (attempt, agent, seal) = token.parts()?;
        let seal = hex::decode(seal).ok()?;
        self.mac(job, attempt, &agent).verify_slice(&seal).ok()?;
        Some(ProvenLease {
            job: job.clone(),
            attempt,
            agent,
        })
    }

    fn mac(&self, job: &JobId, attempt: u32, agent: &AgentId) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes a key of any length");
        // A job's and an agent's id end where they end: the last 26 characters are a ULID each.
        mac.update(job.to_string().as_bytes());
        mac.update(&attempt.to_be_bytes());
        mac.update(agent.as_str().as_bytes());
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(text: &str) -> JobId {
        text.parse().unwrap()
    }

    #[test]
    fn a_token_proves_its_job_attempt_and_agent_and_nothing_else() {
        let seal = LeaseSeal::new([7; 32]);
        let one = job("default-01k2b3c4d5e6f7g8h9j0kmnpqr");
        let agent: AgentId = "01k2b3c4d5e6f7g8h9j0kmnpq1".parse().unwrap();
        let token = seal.token(&one, 2, &agent);
        let proven = ProvenLease {
            job: one.clone(),
            attempt: 2,
            agent: agent.clone(),
        };
        assert_eq!(seal.lease(&one, &token), Some(proven));
        let other = job("default-01k2b3c4d5e6f7g8h9j0kmnpqs");
        assert_eq!(seal.lease(&other, &token), None);
        assert_eq!(LeaseSeal::new([8; 32]).lease(&one, &token), None);
        let another = "01k2b3c4d5e6f7g8h9j0kmnpq2";
        let text = token.expose();
        for forged in [
            text.replace("hfl_2_", "hfl_3_"),
            text.replace(agent.as_str(), another),
            format!("hfl_2_{agent}_zz"),
            format!("hfl_2_{agent}"),
            "hfl_2_zz".to_owned(),
        ] {
            assert_eq!(
                seal.lease(&one, &LeaseToken::from(forged.clone())),
                None,
                "{forged}"
            );
        }
    }
}
