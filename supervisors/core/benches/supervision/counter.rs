//! One actor, twice: through our envelope and on bare `ractor`. It adds up what it is told and says the sum.

use ractor::rpc::CallResult;
use ractor::{ActorProcessingErr, ActorRef, RpcReplyPort};
use supervision::{Actor, ChildSpec, Ctx, Failure, Handle, Reply};

use crate::LIMIT;

/// Messages that are sent in one go; the question behind them waits until all are handled.
pub(crate) const BURST: usize = 1000;

pub(crate) struct Counter;

pub(crate) enum Msg {
    Add(u64),
    Sum(Reply<u64>),
}

impl Actor for Counter {
    type Msg = Msg;
    type State = u64;

    async fn start(&self, _: &Ctx<Msg>) -> Result<u64, Failure> {
        Ok(0)
    }

    async fn handle(&self, _: &Ctx<Msg>, msg: Msg, sum: &mut u64) -> Result<(), Failure> {
        match msg {
            Msg::Add(n) => *sum += n,
            Msg::Sum(reply) => drop(reply.send(*sum)),
        }
        Ok(())
    }
}

/// The way to a counter of ours. Its mailbox has room for a burst and its question, so it is never full.
#[derive(Clone)]
pub(crate) struct Ours(Handle<Msg>);

impl Ours {
    pub(crate) fn new() -> Self {
        Self(Handle::new("counter", BURST + 1))
    }

    pub(crate) fn spec(&self) -> ChildSpec {
        ChildSpec::worker("counter", &self.0, || Counter)
    }

    pub(crate) async fn asks(&self, times: usize) {
        for _ in 0..times {
            self.ask().await;
        }
    }

    async fn ask(&self) -> u64 {
        self.0.ask(Msg::Sum, LIMIT).await.expect("it is up")
    }

    /// Sends messages in bursts and waits after each until they are handled.
    pub(crate) async fn bursts(&self, times: usize) {
        let before = self.ask().await;
        for time in 1..=times {
            for _ in 0..BURST {
                self.0.try_tell(Msg::Add(1)).expect("it is up and has room");
            }
            assert_eq!(self.ask().await, before + (time * BURST) as u64);
        }
    }
}

struct BareCounter;

pub(crate) enum BareMsg {
    Add(u64),
    Sum(RpcReplyPort<u64>),
}

impl ractor::Message for BareMsg {}

impl ractor::Actor for BareCounter {
    type Msg = BareMsg;
    type State = u64;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<BareMsg>, (): ()) -> Result<u64, ActorProcessingErr> {
        Ok(0)
    }

    async fn handle(
        &self,
        _: ActorRef<BareMsg>,
        msg: BareMsg,
        sum: &mut u64,
    ) -> Result<(), ActorProcessingErr> {
        match msg {
            BareMsg::Add(n) => *sum += n,
            BareMsg::Sum(reply) => reply.send(*sum)?,
        }
        Ok(())
    }
}

/// The way to a bare counter.
pub(crate) struct Bare(ActorRef<BareMsg>);

impl Bare {
    pub(crate) async fn start() -> Self {
        let (actor, _task) = ractor::Actor::spawn(None, BareCounter, ())
            .await
            .expect("nothing in it can fail");
        Self(actor)
    }

    pub(crate) async fn asks(&self, times: usize) {
        for _ in 0..times {
            self.ask().await;
        }
    }

    /// With the same limit as ours.
    async fn ask(&self) -> u64 {
        let CallResult::Success(sum) = self.0.call(BareMsg::Sum, Some(LIMIT)).await.expect("it is up") else {
            panic!("it answers");
        };
        sum
    }

    pub(crate) async fn bursts(&self, times: usize) {
        let before = self.ask().await;
        for time in 1..=times {
            for _ in 0..BURST {
                self.0.cast(BareMsg::Add(1)).expect("it is up");
            }
            assert_eq!(self.ask().await, before + (time * BURST) as u64);
        }
    }

    pub(crate) fn stop(&self) {
        self.0.stop(None);
    }
}
