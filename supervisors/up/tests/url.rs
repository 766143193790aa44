//! The file that says where the coordinator is, at the end: it goes before a successor can write its own.
#![expect(clippy::unwrap_used, reason = "a test stops at a surprise")]

use std::fs;
use std::future::pending;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hiveforge_supervisors_up::{Config, Running, URL_FILE, start};

async fn started(data: &Path) -> (Running, PathBuf) {
    let config = Config {
        data: data.to_owned(),
        listen: "127.0.0.1:0".parse().unwrap(),
        slots: Some(1),
        coordinator: coordinator::Config::default(),
    };
    let (running, url) = (start(config).await.unwrap(), data.join(URL_FILE));
    let expected = format!("http://{}\n", running.address());
    assert_eq!(fs::read_to_string(&url).unwrap(), expected);
    (running, url)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_url_is_gone_before_the_nexus_is_released() {
    let data = tempfile::tempdir().unwrap();
    let (running, url) = started(data.path()).await;
    let is_gone = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&is_gone);
    // Asked for the first time while the coordinator stops, and so before its nexus is closed.
    let hurry = async move {
        seen.store(!url.exists(), Ordering::SeqCst);
        pending::<()>().await;
    };
    running.close(hurry).await;
    assert!(is_gone.load(Ordering::SeqCst));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_url_of_another_coordinator_stays() {
    let data = tempfile::tempdir().unwrap();
    let (running, url) = started(data.path()).await;
    fs::write(&url, "http://192.0.2.1:4711\n").unwrap();
    running.close(pending()).await;
    assert_eq!(fs::read_to_string(&url).unwrap(), "http://192.0.2.1:4711\n");
}
