//! Carries hints to all peers, at once when nothing is under way, and gathered while something is.
//!
//! The library's queues have no bound, so this side gives each peer a credit of one: the next hints go when the last ones
//! were taken, and meanwhile equal ones become one. Too many become the one that says "anything". Hints may be lost, and
//! nobody waits for them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use supervision::{Actor, ChildSpec, Ctx, Failure, Handle};
use tokio::sync::watch;

use crate::answer::QUESTION_BYTES_MAX;
use crate::clerk::ANYTHING;
use crate::identity::Identity;
use crate::mesh::PACE;
use crate::roster::Sessions;

/// Hints that wait at most until they are looked at.
pub(crate) const MAILBOX: usize = 4096;
/// Longest hint, in bytes. A longer one is sent as "anything".
pub const HINT_BYTES_MAX: usize = 512;
/// Hints that wait for one peer at most.
const WAITING_MAX: usize = QUESTION_BYTES_MAX / (HINT_BYTES_MAX + 1);
/// How long a peer may take to take them. If it is later than that they are lost.
const TAKEN_MAX: Duration = Duration::from_secs(1);

pub(crate) enum Msg {
    /// Tell everybody.
    Hint(String),
    /// A peer has taken what was sent, or has not.
    Sent(Identity),
}

struct Courier {
    sessions: watch::Receiver<Sessions>,
}

/// What goes to one peer next.
#[derive(Default)]
pub(crate) struct Satchel {
    waiting: BTreeSet<String>,
    is_under_way: bool,
}

/// Permanent: without it waits on other coordinators end at their next look.
pub(crate) fn child_spec(handle: &Handle<Msg>, sessions: watch::Receiver<Sessions>) -> ChildSpec {
    ChildSpec::worker("courier", handle, move || Courier {
        sessions: sessions.clone(),
    })
    .backoff(PACE)
}

impl Actor for Courier {
    type Msg = Msg;
    type State = BTreeMap<Identity, Satchel>;

    async fn start(&self, _: &Ctx<Msg>) -> Result<Self::State, Failure> {
        Ok(BTreeMap::new())
    }

    async fn handle(&self, ctx: &Ctx<Msg>, msg: Msg, satchels: &mut Self::State) -> Result<(), Failure> {
        match msg {
            Msg::Hint(hint) => {
                let sessions = self.sessions.borrow().clone();
                satchels.retain(|peer, _| sessions.up.iter().any(|up| up.peer == *peer));
                for up in &sessions.up {
                    satchels.entry(up.peer.clone()).or_default().add(&hint);
                }
                sessions
                    .up
                    .iter()
                    .try_for_each(|up| self.send(ctx, &up.peer, satchels))
            }
            Msg::Sent(peer) => {
                if let Some(satchel) = satchels.get_mut(&peer) {
                    satchel.is_under_way = false;
                }
                self.send(ctx, &peer, satchels)
            }
        }
    }
}

impl Courier {
    fn send(
        &self,
        ctx: &Ctx<Msg>,
        peer: &Identity,
        satchels: &mut BTreeMap<Identity, Satchel>,
    ) -> Result<(), Failure> {
        let Some(satchel) = satchels.get_mut(peer) else {
            return Ok(());
        };
        let desk = {
            let sessions = self.sessions.borrow();
            let up = sessions.up.iter().find(|up| up.peer == *peer);
            let Some(up) = up else { return Ok(()) };
            up.desk.clone()
        };
        let Some(lines) = satchel.take() else {
            return Ok(());
        };
        let peer = peer.clone();
        ctx.task(async move {
            // Lost or taken, it is the same here: whoever waits looks by itself now and then.
            desk.hints(lines, TAKEN_MAX).await.ok();
            Msg::Sent(peer)
        })?;
        Ok(())
    }
}

impl Satchel {
    fn add(&mut self, hint: &str) {
        let is_fit = hint.len() <= HINT_BYTES_MAX && !hint.contains('\n');
        if self.waiting.contains(ANYTHING) {
            return;
        }
        if is_fit && (self.waiting.len() < WAITING_MAX || self.waiting.contains(hint)) {
            self.waiting.insert(hint.to_owned());
        } else {
            self.waiting = [ANYTHING.to_owned()].into();
        }
    }

    /// What to send now, if there is anything and nothing is under way.
    fn take(&mut self) -> Option<Vec<u8>> {
        if self.is_under_way || self.waiting.is_empty() {
            return None;
        }
        self.is_under_way = true;
        let lines: Vec<String> = std::mem::take(&mut self.waiting).into_iter().collect();
        Some(lines.join("\n").into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_are_gathered_while_others_are_under_way() {
        let mut satchel = Satchel::default();
        satchel.add("lane/a");
        assert_eq!(satchel.take(), Some(b"lane/a".to_vec()));
        for hint in ["lane/b", "lane/a", "lane/b"] {
            satchel.add(hint);
        }
        assert_eq!(satchel.take(), None);
        satchel.is_under_way = false;
        assert_eq!(satchel.take(), Some(b"lane/a\nlane/b".to_vec()));
    }

    #[test]
    fn too_many_hints_or_one_too_long_become_the_one_that_says_anything() {
        let long = "x".repeat(HINT_BYTES_MAX + 1);
        for hints in [
            (0..=WAITING_MAX).map(|n| format!("job/{n}")).collect(),
            vec![long],
            vec!["a\nb".to_owned()],
        ] {
            let mut satchel = Satchel::default();
            hints.iter().for_each(|hint| satchel.add(hint));
            assert_eq!(satchel.take(), Some(ANYTHING.as_bytes().to_vec()));
        }
        let mut full = Satchel::default();
        (0..WAITING_MAX).for_each(|n| full.add(&format!("{n:0>HINT_BYTES_MAX$}")));
        assert!(full.take().unwrap().len() <= QUESTION_BYTES_MAX);
    }
}
