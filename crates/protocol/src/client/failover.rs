//! From coordinator to coordinator until one answers.
//!
//! A request goes to one coordinator. It goes to another too when that one cannot be reached, breaks off, says that it
//! cannot help now (503), falls silent ([`super::vigil`]), or takes longer than the caller cares to wait for it alone; if
//! it may have been carried out, only when carrying it out twice does no harm. What was sent stays under way, and the
//! first answer counts. Each coordinator is asked at most once at a time, and one that has failed not again before it is
//! given another chance. Whoever asks gets an error only when nobody is left to ask, or when the time is over.

use std::future::{self, Future};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::{Method, Request};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::body::Upload;
use super::call::Call;
use super::error::ClientError;
use super::reply::Reply;
use super::roster::BAD_FOR;
use super::target::Peer;
use super::vigil::{PATIENCE, PROBE_EVERY};
use super::{Client, innermost, is_elsewhere};

/// The longest pause before another coordinator is asked in place of one that broke off, by chance: all of its clients
/// find that out in the same moment.
const SPREAD: Duration = Duration::from_millis(100);

/// What one coordinator said, or why it said nothing.
struct Landing<T> {
    peer: Arc<Peer>,
    answer: Result<T, ClientError>,
    /// Certainly nothing was carried out.
    undone: bool,
}

/// How far the search for an answer has come.
struct Search {
    /// The request is with these.
    flying: Vec<Arc<Peer>>,
    /// It was with these, in vain.
    failed: Vec<Arc<Peer>>,
    /// The silence of the last one counts from here.
    since: Instant,
    hedge_at: Option<Instant>,
    /// What to tell the caller if nobody answers.
    error: Option<ClientError>,
}

/// What to do after a landing.
enum Step<T> {
    Over(Result<T, ClientError>),
    Ask(Option<Arc<Peer>>),
}

impl Client {
    /// Sends a request and has `read` read its reply, all within the limit.
    pub(super) async fn ask<T, F>(&self, call: Call<'_>, read: impl Fn(Reply) -> F) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        let deadline = Instant::now() + call.limit();
        let answer = tokio::select! {
            biased;
            answer = self.search(call, &read) => answer,
            never = self.keep_looking_up() => match never {},
        };
        if answer.is_err() && self.roster().is_hopeless(Instant::now()) {
            // Its own time is over then; what it asked was answered.
            timeout_at(deadline, self.look_up_if_due()).await.ok();
        }
        answer
    }

    async fn search<T, F>(&self, mut call: Call<'_>, read: &impl Fn(Reply) -> F) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        let limit = call.limit();
        let deadline = Instant::now() + limit;
        let timed_out = |url| ClientError::TimedOut { url, limit };
        let first = timeout_at(deadline, self.first()).await;
        let mut next = Some(first.map_err(|_| timed_out(self.url()))??);
        let mut search = Search::new();
        let mut flights = FuturesUnordered::new();
        loop {
            if let Some(peer) = next.take() {
                let request = call.request(&peer, &self.shared.authorization)?;
                search.launched(&peer, call.options.hedge_after);
                flights.push(self.fly(peer, request, read));
            }
            let repeatable = call.is_repeatable();
            let latest = search.flying.last().cloned();
            let every = call.options.watched_every.unwrap_or(PROBE_EVERY);
            let silence = async {
                match &latest {
                    Some(peer) => self.silence_of(peer, search.since, every).await,
                    None => future::pending().await,
                }
            };
            let hedge_at = search.hedge_at.filter(|_| repeatable);
            next = tokio::select! {
                biased;
                Some(landing) = flights.next() => match self.landed(&mut search, landing, &call).await {
                    Step::Over(answer) => return answer,
                    Step::Ask(next) => next,
                },
                () = sleep_until(deadline) => {
                    let url = latest.map_or_else(|| self.url(), |peer| peer.name());
                    self.give_up_on(&search.flying);
                    return Err(timed_out(url));
                }
                () = silence => self.on_silence(&mut search, repeatable)?,
                () = sleep_until(hedge_at.unwrap_or(deadline)), if hedge_at.is_some() => {
                    search.hedge_at = None;
                    self.roster().good(&search.flying, Instant::now())
                }
            };
        }
    }

    /// Sends a request to one coordinator.
    async fn fly<T, F>(
        &self,
        peer: Arc<Peer>,
        request: Request<Upload>,
        read: &impl Fn(Reply) -> F,
    ) -> Landing<T>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        let head_only = request.method() == Method::HEAD;
        let response = match self.shared.pool.request(request).await {
            Ok(response) => response,
            Err(error) => {
                let answer = Err(ClientError::Unreachable {
                    url: peer.name(),
                    why: innermost(&error),
                });
                let undone = error.is_connect();
                return Landing { peer, answer, undone };
            }
        };
        if !is_elsewhere(response.status().as_u16()) {
            self.roster().heard(&peer, Instant::now());
        }
        let reply = Reply {
            response,
            peer: Arc::clone(&peer),
            client: self.clone(),
        };
        let answer = match reply.accepted(head_only).await {
            Ok(reply) => read(reply).await,
            Err(error) => Err(error),
        };
        // A coordinator that is not ready looks at nothing.
        let undone = matches!(&answer, Err(error) if error.code() == Some("not_ready"));
        Landing { peer, answer, undone }
    }

    async fn landed<T>(&self, search: &mut Search, landing: Landing<T>, call: &Call<'_>) -> Step<T> {
        let Landing { peer, answer, undone } = landing;
        let error = match answer {
            Err(error) if says_nothing(&error) => error,
            answer => {
                if search.has_moved() {
                    self.roster().settle(&peer, Instant::now());
                }
                return Step::Over(answer);
            }
        };
        let was_known = {
            let mut roster = self.roster();
            roster.failed(&peer, Instant::now());
            roster.heard_at(&peer).is_some()
        };
        let broke_off = !undone && matches!(error, ClientError::Unreachable { .. });
        search.landed(&peer, error);
        let may_go_on = call.is_repeatable() || undone && call.can_be_sent();
        if !may_go_on {
            return Step::Over(search.in_vain());
        }
        if self.any_is_good(&search.flying) {
            return Step::Ask(None);
        }
        if broke_off && was_known {
            let pause = self.roster().part_of(SPREAD);
            sleep(pause).await;
        }
        let asked = [&search.failed[..], &search.flying[..]].concat();
        match self.roster().any(&asked) {
            None if search.flying.is_empty() => Step::Over(search.in_vain()),
            next => Step::Ask(next),
        }
    }

    /// The coordinator that was asked last says nothing, or that it cannot help.
    fn on_silence(&self, search: &mut Search, repeatable: bool) -> Result<Option<Arc<Peer>>, ClientError> {
        let now = Instant::now();
        let Some(better) = self.roster().good(&search.flying, now) else {
            // None is worth a try before that has changed.
            search.since = now + BAD_FOR.saturating_sub(PATIENCE);
            return Ok(None);
        };
        match (repeatable, search.flying.last()) {
            (false, Some(silent)) => Err(ClientError::Unreachable {
                url: silent.name(),
                why: "it fell silent".to_owned(),
            }),
            (true, _) | (false, None) => Ok(Some(better)),
        }
    }

    fn any_is_good(&self, peers: &[Arc<Peer>]) -> bool {
        let (roster, now) = (self.roster(), Instant::now());
        peers.iter().any(|peer| roster.is_good(peer, now))
    }

    fn give_up_on(&self, peers: &[Arc<Peer>]) {
        let (mut roster, now) = (self.roster(), Instant::now());
        peers.iter().for_each(|peer| roster.failed(peer, now));
    }
}

impl Search {
    fn new() -> Self {
        Self {
            flying: Vec::new(),
            failed: Vec::new(),
            since: Instant::now(),
            hedge_at: None,
            error: None,
        }
    }

    fn launched(&mut self, peer: &Arc<Peer>, hedge_after: Option<Duration>) {
        let now = Instant::now();
        self.flying.push(Arc::clone(peer));
        self.since = now;
        self.hedge_at = hedge_after.map(|pause| now + pause);
    }

    fn landed(&mut self, peer: &Arc<Peer>, error: ClientError) {
        self.flying.retain(|other| !Arc::ptr_eq(other, peer));
        self.failed.push(Arc::clone(peer));
        // What a coordinator says is worth more than that another is away.
        let is_said = matches!(error, ClientError::Problem(_));
        if is_said || self.error.is_none() {
            self.error = Some(error);
        }
    }

    /// Whether more than one coordinator was asked.
    fn has_moved(&self) -> bool {
        self.flying.len() + self.failed.len() > 1
    }

    fn in_vain<T>(&mut self) -> Result<T, ClientError> {
        let nobody = || ClientError::BadReply("nobody was asked".to_owned());
        Err(self.error.take().unwrap_or_else(nobody))
    }
}

/// Whether an error is of this coordinator alone, so that another may answer.
fn says_nothing(error: &ClientError) -> bool {
    match error {
        ClientError::Unreachable { .. } => true,
        ClientError::Problem(problem) => is_elsewhere(problem.status),
        ClientError::TimedOut { .. } | ClientError::NotModified | ClientError::BadReply(_) => false,
    }
}
