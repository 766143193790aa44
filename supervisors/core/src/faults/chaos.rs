//! The decorator around every actor: lets it be, or lets happen to it what was injected.

use std::future::pending;
use std::time::Duration;

use super::{CALLER, Caller, Moment, What};
use crate::life::Life;
use crate::{Actor, Ctx, Failure};

/// An actor that may be hurt.
pub(crate) struct Chaos<A> {
    inner: A,
    caller: Caller,
}

impl<A: Actor> Chaos<A> {
    pub(crate) fn new(inner: A, life: &Life) -> Self {
        let caller = Caller {
            faults: life.directory.faults().clone(),
            path: life.record.birth.path.clone(),
        };
        Self { inner, caller }
    }

    async fn suffer(&self, moment: Moment) -> Result<(), Failure> {
        match self.caller.faults.at(&self.caller.path, moment) {
            None | Some(What::LoseReply | What::Duplicate) => Ok(()),
            Some(What::Panic) => panic!("injected panic"),
            Some(What::Error) => Err(Failure::new("injected error")),
            Some(What::Hang) => pending().await,
            Some(What::Block(time)) => {
                block(time);
                Ok(())
            }
            Some(What::Delay(time)) => {
                tokio::time::sleep(time).await;
                Ok(())
            }
        }
    }
}

impl<A: Actor> Actor for Chaos<A> {
    type Msg = A::Msg;
    type State = A::State;

    async fn start(&self, ctx: &Ctx<A::Msg>) -> Result<A::State, Failure> {
        self.suffer(Moment::Start).await?;
        CALLER.scope(self.caller.clone(), self.inner.start(ctx)).await
    }

    async fn handle(&self, ctx: &Ctx<A::Msg>, msg: A::Msg, state: &mut A::State) -> Result<(), Failure> {
        self.suffer(Moment::Message).await?;
        CALLER
            .scope(self.caller.clone(), self.inner.handle(ctx, msg, state))
            .await
    }

    async fn stop(&self, ctx: &Ctx<A::Msg>, state: &mut A::State) {
        // An error is not accepted for this moment.
        self.suffer(Moment::Stop).await.ok();
        CALLER
            .scope(self.caller.clone(), self.inner.stop(ctx, state))
            .await;
    }
}

#[expect(clippy::disallowed_methods, reason = "to block the thread is the point")]
fn block(time: Duration) {
    std::thread::sleep(time);
}
