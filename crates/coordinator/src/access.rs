//! Who may do what: an admin token for people, a join token for agents, each known by its hash alone.
//!
//! Scoped tokens, expiry and revocation come with full access control; every request has a principal already.

use domain::{Digest, Principal};

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Admin,
    /// What an agent does: enrol, claim, renew, log, finish, release, blobs.
    Agent,
}

/// A request that is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// No token, or one that nobody knows.
    #[error("a valid bearer token is required")]
    Unauthenticated,
    /// The token is good, but not for this.
    #[error("this token does not allow it")]
    Forbidden,
}

/// The tokens that are let in.
#[derive(Debug, Clone)]
pub struct Access {
    admin: Digest,
    join: Digest,
}

impl Access {
    /// Knows these two tokens. They are hashed at once and not kept.
    pub fn new(admin_token: &str, join_token: &str) -> Self {
        Self {
            admin: Digest::of(admin_token.as_bytes()),
            join: Digest::of(join_token.as_bytes()),
        }
    }

    /// The role and principal of a bearer.
    ///
    /// The comparison is of digests, so its timing tells nothing of the token.
    ///
    /// # Errors
    /// The token is not known.
    pub fn admit(&self, token: Option<&str>) -> Result<(Role, Principal), AccessError> {
        let digest = Digest::of(token.ok_or(AccessError::Unauthenticated)?.as_bytes());
        let (role, name) = match digest {
            admin if admin == self.admin => (Role::Admin, "admin"),
            join if join == self.join => (Role::Agent, "agent"),
            _ => return Err(AccessError::Unauthenticated),
        };
        Ok((role, name.parse().expect("the names are principals")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_two_tokens_are_let_in_each_with_its_role() {
        let access = Access::new("for-admin", "for-agents");
        assert_eq!(
            access.admit(Some("for-admin")).map(|(role, _)| role),
            Ok(Role::Admin)
        );
        assert_eq!(
            access.admit(Some("for-agents")).map(|(role, _)| role),
            Ok(Role::Agent)
        );
        assert_eq!(access.admit(Some("")), Err(AccessError::Unauthenticated));
        assert_eq!(access.admit(None), Err(AccessError::Unauthenticated));
    }
}
