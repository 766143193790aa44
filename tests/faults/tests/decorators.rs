//! The faults of the wire and of the nexus are what they say: done and not heard of, or done twice.
#![expect(clippy::unwrap_used, reason = "a test may stop at a surprise")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hiveforge_tests_faults::nexus::{Calls, FaultyNexus, HintFault};
use hiveforge_tests_faults::proxy::{Mishap, Proxy, Route};
use hiveforge_tests_faults::wait::until;
use nexus::{Class, Clock, Durability, Hint, MemoryNexus, Nexus as _, NexusError, Space, Transaction, TxId};
use protocol::client::{Client, Options};
use supervision::faults::{Fault, What, When};
use supervision::{
    Actor, ChildSpec, Ctx, Directory, Failure, Handle, Intensity, Reply, Strategy, Tree, TreeSpec,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

const SECOND: Duration = Duration::from_secs(1);

/// A coordinator that counts its requests and answers all of them with nothing.
async fn counting(tasks: &mut JoinSet<()>) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let n_requests = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&n_requests);
    tasks.spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            // Heads and bodies of this test are small and come in one piece.
            let n_bytes = stream.read(&mut [0; 4096]).await.unwrap();
            counts.fetch_add(usize::from(n_bytes > 0), Ordering::SeqCst);
            let reply = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nnull";
            stream.write_all(reply).await.unwrap();
        }
    });
    (address, n_requests)
}

#[tokio::test]
async fn a_struck_request_is_carried_out_and_not_answered_or_carried_out_again() {
    let mut tasks = JoinSet::new();
    let (coordinator, n_requests) = counting(&mut tasks).await;
    let proxy = Proxy::start(coordinator).await.unwrap();
    let client = Client::new([format!("http://{}", proxy.address)], "token").unwrap();
    let renew = async || {
        let answer = client.post::<()>("/v1/leases/renew", &(), Options::default());
        answer.await.is_ok()
    };
    let came = async |n: usize| until("all have come", || n_requests.load(Ordering::SeqCst) == n).await;

    proxy.arm(Route::Claims, Mishap::ReplyLost);
    assert!(renew().await, "another route is not struck");
    came(1).await.unwrap();
    proxy.arm(Route::Renew, Mishap::ReplyLost);
    assert!(!renew().await);
    came(2).await.unwrap();
    proxy.arm(Route::Renew, Mishap::Repeated);
    assert!(renew().await);
    came(5).await.unwrap();
    until("all are answered", || proxy.n_struck() == 2).await.unwrap();
    assert!(renew().await, "it is struck once");
    came(6).await.unwrap();
    assert_eq!((proxy.n_struck(), proxy.n_requests(Route::Renew)), (2, 4));
}

/// An actor that commits one addition each time it is asked.
struct Adder(Arc<FaultyNexus>);

type Ask = Reply<Result<(), NexusError>>;

impl Actor for Adder {
    type Msg = Ask;
    type State = u64;

    async fn start(&self, _: &Ctx<Ask>) -> Result<u64, Failure> {
        Ok(0)
    }

    async fn handle(&self, _: &Ctx<Ask>, reply: Ask, n: &mut u64) -> Result<(), Failure> {
        *n += 1;
        let mut tx = Transaction::new(TxId(*n), Class::Relief);
        tx.adds.push(("n".to_owned(), 1));
        let committed = self.0.commit(&space(), vec![tx], Durability::Process).await;
        reply.send(committed.map(|outcomes| assert_eq!(outcomes.len(), 1)));
        Ok(())
    }
}

fn space() -> Space {
    Space::new("pool/default").unwrap()
}

#[tokio::test]
async fn a_struck_commit_is_done_and_not_heard_of_or_done_twice() {
    let inner = Arc::new(MemoryNexus::new(Clock::system()));
    let nexus = Arc::new(FaultyNexus::new(inner, Calls::Commits));
    let (handle, directory) = (Handle::new("adder", 1), Directory::new());
    let adder = Arc::clone(&nexus);
    let spec = TreeSpec::new(
        Strategy::OneForOne,
        Intensity {
            max: 1,
            within: SECOND,
        },
    )
    .child(ChildSpec::worker("adder", &handle, move || {
        Adder(Arc::clone(&adder))
    }));
    let _tree = Tree::start_in("root", spec, &directory).await.unwrap();
    for (what, is_heard, n) in [(What::LoseReply, false, 1), (What::Duplicate, true, 3)] {
        let (path, when) = ("root/adder".to_owned(), When::Call(1));
        directory.faults().inject(Fault { path, when, what }).unwrap();
        let heard = handle.ask(|reply| reply, 10 * SECOND).await.unwrap();
        assert_eq!(heard.is_ok(), is_heard, "{what:?}");
        assert_eq!(
            nexus.counters(&space(), &["n".to_owned()]).await.unwrap(),
            [n],
            "{what:?}"
        );
    }
}

#[tokio::test]
async fn hints_can_be_lost_and_doubled() {
    let nexus = FaultyNexus::new(Arc::new(MemoryNexus::new(Clock::system())), Calls::Commits);
    let mut hints = nexus.watch(&space());
    for (id, fault) in [
        (1, HintFault::Lost),
        (2, HintFault::Doubled),
        (3, HintFault::None),
    ] {
        nexus.strike_hints(fault);
        let mut tx = Transaction::new(TxId(id), Class::Relief);
        tx.hints.push(id.to_string());
        nexus
            .commit(&space(), vec![tx], Durability::Process)
            .await
            .unwrap();
    }
    for said in ["2", "2", "3"] {
        assert_eq!(hints.next().await, Some(Hint::Said(said.into())));
    }
    assert_eq!(nexus.n_hints_struck(), 2);
}
