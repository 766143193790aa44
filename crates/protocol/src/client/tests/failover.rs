//! From a coordinator that cannot help to one that can, in less than a second.
//!
//! Times are medians over several tries at once, so that a machine that is busy for a moment fails nothing.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::coordinator::{Coordinator, Health};
use super::{SOON, limited};
use crate::client::vigil::PROBE_EVERY;
use crate::client::{Client, ClientError, Options, Upload};

/// The longest that it may take to be answered by another coordinator, at the median.
const FAILOVER_MAX: Duration = Duration::from_secs(1);
/// How often each is measured.
const TRIES: usize = 9;
/// A time limit that is not reached.
const LONG: Duration = Duration::from_secs(30);

/// A client of both that asks the first one first.
async fn client(first: &Coordinator, second: &Coordinator) -> Client {
    for seed in 0.. {
        let client = Client::with_seed([first.url(), second.url()], "token", seed).unwrap();
        if client.first().await.unwrap().address == first.address {
            return client;
        }
    }
    unreachable!("one of two is chosen sooner or later")
}

fn patient() -> Options {
    Options::default().timeout(LONG)
}

/// The median of what several tries of this take.
async fn median<F: Future<Output = Duration> + Send + 'static>(one: impl Fn() -> F) -> Duration {
    let mut tries: JoinSet<Duration> = (0..TRIES).map(|_| one()).collect();
    let mut took = Vec::new();
    while let Some(one) = tries.join_next().await {
        took.push(one.unwrap());
    }
    took.sort_unstable();
    took[TRIES / 2]
}

async fn answered_by_another(health: Health) -> Duration {
    let (bad, good) = (
        Coordinator::new(health).await,
        Coordinator::new(Health::Well).await,
    );
    let client = client(&bad, &good).await;
    let asked_at = Instant::now();
    assert_eq!(client.get::<String>("/", patient()).await.unwrap(), "ok");
    let took = asked_at.elapsed();
    // And it stays there.
    for n in 2..5 {
        assert_eq!(client.get::<String>("/", patient()).await.unwrap(), "ok");
        assert_eq!(good.requests(), n);
    }
    assert_eq!(client.url(), good.url());
    took
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_wrong_with_a_coordinator_another_answers_within_a_second() {
    for health in [
        Health::Gone,
        Health::CutOff,
        Health::Stopped,
        Health::Hangs,
        Health::Resets,
        Health::Closes,
        Health::BreaksOff,
        Health::FallsSilent,
        Health::NotReady,
    ] {
        let took = median(move || answered_by_another(health)).await;
        println!("{health:?}: {took:?}");
        assert!(took < FAILOVER_MAX, "{health:?}: {took:?}");
    }
}

async fn parked_until(becomes: Health) -> Duration {
    let (bad, good) = (
        Coordinator::new(Health::Parks).await,
        Coordinator::new(Health::Well).await,
    );
    let client = client(&bad, &good).await;
    let options = patient().repeatable();
    let parked = client.post::<String>("/", &"body", options);
    let breaks = async {
        sleep(PROBE_EVERY * 3).await;
        assert_eq!((bad.requests(), good.requests()), (1, 0));
        bad.becomes(becomes);
        Instant::now()
    };
    let (answer, broke_at) = tokio::join!(parked, breaks);
    assert_eq!(answer.unwrap(), "ok");
    broke_at.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parked_request_waits_for_a_coordinator_that_lives_and_leaves_one_that_does_not() {
    for becomes in [Health::Hangs, Health::Resets, Health::Closes, Health::NotReady] {
        let took = median(move || parked_until(becomes)).await;
        println!("{becomes:?}: {took:?}");
        assert!(took < FAILOVER_MAX, "{becomes:?}: {took:?}");
    }
}

#[tokio::test]
async fn what_is_parked_asks_seldom_whether_its_coordinator_is_there_and_notices_at_once_that_it_breaks_off()
{
    let (parks, good) = (
        Coordinator::new(Health::Parks).await,
        Coordinator::new(Health::Well).await,
    );
    let client = client(&parks, &good).await;
    let parked = client.post::<String>("/", &"body", patient().repeatable().watched_every(LONG));
    let breaks = async {
        sleep(PROBE_EVERY * 6).await;
        assert_eq!((parks.probes(), good.requests()), (1, 0));
        parks.becomes(Health::Closes);
    };
    let (answer, ()) = timeout(SOON, async { tokio::join!(parked, breaks) })
        .await
        .unwrap();
    assert_eq!(answer.unwrap(), "ok");
}

#[tokio::test]
async fn a_coordinator_whose_name_has_lost_its_address_is_not_asked_without_a_pause() {
    let (parks, one) = (
        Coordinator::new(Health::Parks).await,
        Coordinator::new(Health::Well).await,
    );
    let other = Coordinator::new(Health::Well).await;
    let urls = [parks.url(), one.url(), other.url()];
    let client = (0..)
        .map(|seed| Client::with_seed(&urls, "token", seed).unwrap())
        .find(|client| client.roster().first(Instant::now()).unwrap().address == parks.address)
        .unwrap();
    let parked = client.post::<String>("/", &"body", patient().repeatable());
    let loses = async {
        while parks.probes() < 1 {
            sleep(Duration::from_millis(5)).await;
        }
        let base = client.roster().current().unwrap().base.clone();
        client.roster().resolved(&base, &[]);
        sleep(PROBE_EVERY * 4).await;
        let n_probes = parks.probes();
        assert!(n_probes <= 40, "{n_probes}");
        parks.becomes(Health::NotReady);
    };
    let (answer, ()) = timeout(SOON, async { tokio::join!(parked, loses) })
        .await
        .unwrap();
    assert_eq!(answer.unwrap(), "ok");
}

#[tokio::test]
async fn a_name_is_looked_up_again_though_its_address_refuses_before_that_is_done() {
    let gone = Coordinator::new(Health::Gone).await;
    let client = Client::new([format!("http://localhost:{}", gone.address.port())], "token").unwrap();
    client.get::<String>("/", patient()).await.unwrap_err();
    let long_ago = Instant::now().checked_sub(SOON).unwrap();
    *client.shared.names.last.lock().await = Some(long_ago);
    client.get::<String>("/", patient()).await.unwrap_err();
    assert!(*client.shared.names.last.lock().await > Some(long_ago));
}

#[tokio::test]
async fn what_may_have_been_carried_out_is_not_sent_again_unless_that_is_harmless() {
    for (health, is_sent_again) in [(Health::Closes, false), (Health::Gone, true)] {
        let (bad, good) = (
            Coordinator::new(health).await,
            Coordinator::new(Health::Well).await,
        );
        let fresh = || client(&bad, &good);
        let once = fresh().await.post::<String>("/", &"body", patient()).await;
        assert_eq!(once.is_ok(), is_sent_again, "{health:?}");
        let keyed = patient().header("idempotency-key", "k");
        for again in [patient().repeatable(), keyed] {
            let answer = fresh().await.post::<String>("/", &"body", again).await;
            assert_eq!(answer.unwrap(), "ok");
        }
        let blob = || Upload::bytes("body".into());
        fresh().await.put("/", blob(), patient()).await.unwrap();
        assert!(fresh().await.head("/").await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_body_that_exists_only_once_is_not_sent_twice() {
    let (bad, good) = (
        Coordinator::new(Health::Closes).await,
        Coordinator::new(Health::Well).await,
    );
    let client = client(&bad, &good).await;
    let (pieces, body) = Upload::chunks(4);
    pieces.try_send(Ok("body".into())).unwrap();
    let broken = client.put("/", body, patient()).await;
    assert!(
        matches!(broken, Err(ClientError::Unreachable { .. })),
        "{broken:?}"
    );
    assert_eq!(good.requests(), 0);
}

#[tokio::test]
async fn when_nobody_answers_that_is_said_at_once_and_a_refusal_rather_than_an_absence() {
    let [gone, other] = [
        Coordinator::new(Health::Gone).await,
        Coordinator::new(Health::Gone).await,
    ];
    let answer = timeout(SOON, client(&gone, &other).await.get::<String>("/", patient())).await;
    assert!(matches!(answer.unwrap(), Err(ClientError::Unreachable { .. })));
    let not_ready = Coordinator::new(Health::NotReady).await;
    for pair in [(&gone, &not_ready), (&not_ready, &gone)] {
        let answer = timeout(SOON, client(pair.0, pair.1).await.get::<String>("/", patient())).await;
        let error = answer.unwrap().unwrap_err();
        assert!(matches!(&error, ClientError::Problem(problem) if problem.status == 503));
        assert!(error.is_transient());
    }
}

#[tokio::test]
async fn when_all_are_silent_the_time_limit_holds_and_the_first_that_goes_on_answers() {
    let [one, other] = [
        Coordinator::new(Health::Hangs).await,
        Coordinator::new(Health::Hangs).await,
    ];
    let silent = client(&one, &other).await;
    let answer = timeout(SOON, silent.get::<String>("/", limited())).await.unwrap();
    assert!(matches!(answer, Err(ClientError::TimedOut { .. })), "{answer:?}");
    let waiting = client(&one, &other).await;
    let goes_on = async {
        while other.requests() < 1 {
            sleep(Duration::from_millis(5)).await;
        }
        one.becomes(Health::Well);
    };
    let (answer, ()) = tokio::join!(waiting.get::<String>("/", patient()), goes_on);
    assert_eq!(answer.unwrap(), "ok");
}

#[tokio::test]
async fn who_does_not_care_to_wait_for_a_slow_coordinator_asks_another_too() {
    let (slow, good) = (
        Coordinator::new(Health::Parks).await,
        Coordinator::new(Health::Well).await,
    );
    let client = client(&slow, &good).await;
    let hedged = patient().hedge_after(Duration::from_millis(50));
    assert_eq!(client.post::<String>("/", &"body", hedged).await.unwrap(), "ok");
    assert_eq!((slow.requests(), good.requests()), (1, 1));
    assert_eq!(client.url(), good.url());
}

#[tokio::test]
async fn a_stream_from_a_coordinator_that_falls_silent_ends_when_there_is_another() {
    let (bad, good) = (
        Coordinator::new(Health::FallsSilent).await,
        Coordinator::new(Health::Well).await,
    );
    let client = client(&bad, &good).await;
    let mut reply = client.stream("/", "*/*", patient()).await.unwrap();
    assert_eq!(reply.piece(LONG).await.unwrap().unwrap(), "\"hal");
    let silent = timeout(SOON, reply.piece(LONG)).await.expect("it ends by itself");
    assert!(
        matches!(silent, Err(ClientError::Unreachable { .. })),
        "{silent:?}"
    );
    let mut reply = client.stream("/", "*/*", patient()).await.unwrap();
    assert_eq!(reply.piece(LONG).await.unwrap().unwrap(), "\"ok\"");
    assert_eq!(reply.piece(LONG).await.unwrap(), None);
}

#[tokio::test]
async fn a_name_is_looked_up_and_one_that_does_not_exist_is_named() {
    let good = Coordinator::new(Health::Well).await;
    let url = format!("http://localhost:{}", good.address.port());
    let client = Client::new([url], "token").unwrap();
    assert_eq!(client.get::<String>("/", patient()).await.unwrap(), "ok");
    let nowhere = Client::new(["http://nowhere.invalid:1, http://nobody.invalid"], "token").unwrap();
    assert_eq!(
        nowhere.urls(),
        ["http://nowhere.invalid:1", "http://nobody.invalid"]
    );
    let error = timeout(SOON, nowhere.get::<String>("/", patient())).await;
    let error = error.unwrap().unwrap_err();
    assert!(
        error.is_transient() && error.to_string().contains("nowhere.invalid"),
        "{error}"
    );
}

#[test]
fn a_list_of_urls_is_read_with_its_faults_by_name() {
    let urls = |list: &str| {
        Client::new([list], "token").map(|client| client.urls().iter().map(|url| (*url).to_owned()).collect())
    };
    let two = vec!["http://a:1".to_owned(), "http://b:2".to_owned()];
    assert_eq!(urls("http://a:1/, http://b:2,,http://a:1"), Ok(two));
    let wrong: Result<Vec<String>, _> = urls("http://a:1,ftp://b");
    assert_eq!(
        wrong.unwrap_err().to_string(),
        "`ftp://b` is not the URL of a coordinator: write it like http://127.0.0.1:4711"
    );
    assert!(urls(" , ").is_err());
}
