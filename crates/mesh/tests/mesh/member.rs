//! The part of one coordinator: a tree with a mesh in it, which does what its standard input says and answers on its
//! standard output. It ends with its input, so that none outlives its test.

use std::env;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mesh::{Answering, Config, DrillError, Link, Mesh, Reach, Service, TlsFiles};
use serde_json::{Value, json};
use supervision::{Intensity, Strategy, Tree, TreeSpec};

/// Says that this process plays the part, and under which name.
pub(crate) const NAME: &str = "HIVEFORGE_MESH_MEMBER";
/// Where it listens, where its peers are, its cookie, and the directory of its certificates if it has any.
pub(crate) const LISTEN: &str = "HIVEFORGE_MESH_LISTEN";
pub(crate) const PEERS: &str = "HIVEFORGE_MESH_PEERS";
pub(crate) const COOKIE: &str = "HIVEFORGE_MESH_COOKIE";
pub(crate) const TLS: &str = "HIVEFORGE_MESH_TLS";
/// How long peers may take to answer: several processes of a busy machine.
const OBSERVE_MAX: Duration = Duration::from_secs(3);
/// What each of its lines begins with; the test harness writes lines of its own.
pub(crate) const MARK: &str = "> ";

/// What a coordinator would do, as far as a test wants to see it.
pub(crate) struct Echo {
    pub(crate) name: String,
    pub(crate) hints: Mutex<Vec<String>>,
    /// How long hints were under way that say when they were given, in microseconds.
    pub(crate) delays: Mutex<Vec<u64>>,
}

impl Echo {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            hints: Mutex::default(),
            delays: Mutex::default(),
        }
    }
}

/// The time of day, which is the same for all processes of a machine.
fn micros() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_micros()).unwrap()
}

impl Service for Echo {
    fn observe(&self, question: Vec<u8>) -> Answering {
        let name = self.name.clone();
        Box::pin(async move {
            match question.as_slice() {
                b"too much" => Ok(vec![b'x'; mesh::ANSWER_BYTES_MAX + 1]),
                b"much" => Ok(vec![b'x'; mesh::ANSWER_BYTES_MAX]),
                b"never" => std::future::pending().await,
                b"panic" => panic!("at a question"),
                question => Ok(format!("{name}: {}", String::from_utf8_lossy(question)).into_bytes()),
            }
        })
    }

    fn hint(&self, hint: &str) {
        if let Some(given_at) = hint.strip_prefix("at/") {
            let delay = micros().saturating_sub(given_at.parse().unwrap());
            return self.delays.lock().unwrap().push(delay);
        }
        self.hints.lock().unwrap().push(hint.to_owned());
    }

    fn anything_may_have_changed(&self) {
        self.hint("anything");
    }

    fn drill(&self, what: Vec<u8>) -> Answering {
        let name = self.name.clone();
        Box::pin(async move {
            match what.as_slice() {
                b"refuse" => Err("no drills here".to_owned()),
                what => Ok(format!("{name} did {}", String::from_utf8_lossy(what)).into_bytes()),
            }
        })
    }
}

/// Starts a mesh under a root like a coordinator's.
pub(crate) async fn start(mesh: Mesh, service: Arc<Echo>) -> Tree {
    let intensity = Intensity {
        max: 10,
        within: Duration::from_secs(60),
    };
    let spec = TreeSpec::new(Strategy::OneForOne, intensity).child(mesh.child(service));
    Tree::start("coordinator", spec).await.unwrap()
}

fn config(name: &str) -> Config {
    let set = |variable| env::var(variable).unwrap();
    let files = |dir: String| TlsFiles {
        ca: format!("{dir}/ca.pem").into(),
        cert: format!("{dir}/cert.pem").into(),
        key: format!("{dir}/key.pem").into(),
    };
    Config {
        name: name.to_owned(),
        listen: set(LISTEN).parse().unwrap(),
        peers: set(PEERS).parse().unwrap(),
        tls: env::var(TLS).ok().map(files),
        cookie: set(COOKIE).into(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
#[ignore = "the part of a coordinator in other tests"]
async fn member() {
    let Ok(name) = env::var(NAME) else { return };
    let echo = Arc::new(Echo::new(&name));
    let mesh = Mesh::open(config(&name), u64::from(std::process::id()))
        .await
        .unwrap();
    let link = mesh.link();
    let tree = start(mesh, Arc::clone(&echo)).await;
    say(&json!("ready"));
    let mut lines = std::io::stdin().lines();
    while let Some(line) = tokio::task::block_in_place(|| lines.next()) {
        say(&obey(&line.unwrap(), &link, &echo, &tree).await);
    }
}

fn say(value: &Value) {
    println!("\n{MARK}{value}");
}

async fn obey(line: &str, link: &Link, echo: &Echo, tree: &Tree) -> Value {
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    match verb {
        "peers" => peers(link),
        "observe" => {
            let begun = Instant::now();
            let heard = link.observe_all(rest.as_bytes(), OBSERVE_MAX).await;
            let answers = heard.into_iter().map(|heard| {
                let answer = heard
                    .answer
                    .map_or_else(|why| why.to_string(), |bytes| text(&bytes));
                (heard.peer.name, Value::from(answer))
            });
            json!({ "ms": begun.elapsed().as_millis() as u64, "answers": Value::Object(answers.collect()) })
        }
        "hint" => {
            link.hint(rest);
            Value::Null
        }
        "hint-now" => {
            link.hint(&format!("at/{}", micros()));
            Value::Null
        }
        "delays" => json!(*echo.delays.lock().unwrap()),
        "hints" => json!(*echo.hints.lock().unwrap()),
        "drill" => {
            let (name, what) = rest.split_once(' ').unwrap();
            match link.drill(name, what.as_bytes(), Duration::from_secs(5)).await {
                Ok(bytes) => json!(text(&bytes)),
                Err(DrillError::Silent(why)) => json!(format!("silent: {why}")),
                Err(error) => json!(error.to_string()),
            }
        }
        "kill" => json!(tree.directory().kill(rest)),
        "restarts" => {
            let window = tree.directory().find("coordinator").and_then(|root| root.window);
            json!(window.map(|window| window.restarts))
        }
        other => panic!("nobody told me how to {other}"),
    }
}

fn peers(link: &Link) -> Value {
    let peers = link.peers().into_iter().map(|peer| {
        let state = match peer.reach {
            Reach::Up { .. } => "up".to_owned(),
            Reach::Unreachable { why, .. } => why,
        };
        (peer.name, Value::from(state))
    });
    Value::Object(peers.collect())
}

/// Long answers are told by their length.
fn text(bytes: &[u8]) -> String {
    if bytes.len() > 1000 {
        return format!("{} bytes", bytes.len());
    }
    String::from_utf8_lossy(bytes).into_owned()
}
