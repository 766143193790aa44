//! Lease tokens: an HMAC over job and attempt, so that any coordinator can make and check them and none is stored.
//!
//! The key lives in the nexus. Holding a token proves that its bearer was once given this attempt; whether the attempt
//! is still the live one is the domain's question, asked at each write.

use domain::JobId;
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

    /// The token of one attempt.
    pub fn token(&self, job: &JobId, attempt: u32) -> LeaseToken {
        LeaseToken::new(
            attempt,
            &hex::encode(self.mac(job, attempt).finalize().into_bytes()),
        )
    }

    /// The attempt that the token proves for this job; none when it proves nothing. Compares in constant time.
    pub fn attempt(&self, job: &JobId, token: &LeaseToken) -> Option<u32> {
        let (attempt, seal) = token.parts()?;
        let seal = hex::decode(seal).ok()?;
        self.mac(job, attempt).verify_slice(&seal).ok().map(|()| attempt)
    }

    fn mac(&self, job: &JobId, attempt: u32) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes a key of any length");
        mac.update(job.to_string().as_bytes());
        mac.update(&attempt.to_be_bytes());
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
    fn a_token_proves_its_job_and_attempt_and_nothing_else() {
        let seal = LeaseSeal::new([7; 32]);
        let one = job("default-01k2b3c4d5e6f7g8h9j0kmnpqr");
        let token = seal.token(&one, 2);
        assert_eq!(seal.attempt(&one, &token), Some(2));
        assert_eq!(
            seal.attempt(&job("default-01k2b3c4d5e6f7g8h9j0kmnpqs"), &token),
            None
        );
        assert_eq!(LeaseSeal::new([8; 32]).attempt(&one, &token), None);
        let forged = LeaseToken::from(token.expose().replace("hfl_2_", "hfl_3_"));
        assert_eq!(seal.attempt(&one, &forged), None);
        assert_eq!(seal.attempt(&one, &LeaseToken::from("hfl_2_zz".to_owned())), None);
    }
}
