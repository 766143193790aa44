//! The rate and the cost of an agent that runs `/bin/true`, against a coordinator that does next to nothing.
//!
//! `job_rate serve JOBS` is that coordinator and prints its port; `job_rate run PORT SLOTS JOBS` is the agent, which
//! prints jobs per second and the processor time that one job cost the agent itself, without its children. The floor is
//! `spawn_rate` of the executor.

#[path = "../tests/agent/coordinator.rs"]
#[expect(
    dead_code,
    clippy::unwrap_used,
    reason = "the rate needs only a part of it; a test may stop at a surprise"
)]
mod coordinator;

use std::env;
use std::time::{Duration, Instant};

use agent::{Config, Stop};
use coordinator::Coordinator;
use domain::JobSpec;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let number = |index: usize| arguments[index].parse::<usize>().expect("a number");
    match arguments.first().map(String::as_str) {
        Some("serve") => serve(number(1)).await,
        Some("run") => run(number(1), number(2), number(3)).await,
        _ => eprintln!("job_rate serve JOBS | job_rate run PORT SLOTS JOBS"),
    }
}

async fn serve(n_jobs: usize) {
    let coordinator = Coordinator::start().await;
    println!("{}", coordinator.address.port());
    for _ in 0..n_jobs {
        coordinator.submit(JobSpec::command(["/bin/true"]));
    }
    coordinator
        .until("all jobs", |state| (state.finishes.len() >= n_jobs).then_some(()))
        .await;
    let state = coordinator.state();
    println!(
        "{} finish requests, {} claims",
        state.finish_requests,
        state.claims.len()
    );
}

async fn run(port: usize, slots: usize, n_jobs: usize) {
    let data = env::temp_dir().join(format!("job-rate-{port}"));
    let config = format!(
        "coordinators = [\"http://127.0.0.1:{port}\"]\njoin_token = \"t\"\nname = \"rate\"\nslots = {slots}\ndata = {data:?}"
    );
    let before = cpu();
    let started = Instant::now();
    let mut agent = agent_tree::start(&Config::from_toml(&config).expect("a configuration"))
        .await
        .expect("an agent");
    let mut held = agent.station().table.watch_held();
    let mut most = 0;
    // The agent has had its jobs when it holds nothing for a while.
    while let Ok(changed) = tokio::time::timeout(Duration::from_millis(300), held.changed()).await {
        changed.expect("the agent is there");
        most = most.max(*held.borrow());
    }
    let (wall, cpu) = (started.elapsed() - Duration::from_millis(300), cpu() - before);
    println!(
        "{:.0} jobs/s, {:.0} us of the agent's processors per job, {most} leases held at most",
        n_jobs as f64 / wall.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / n_jobs as f64
    );
    agent.stop(Stop::Drain);
    agent.wait().await.expect("an orderly end");
    agent.close().await;
}

/// The processor time of this process.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("the own statistics");
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks: u64 = fields[11..13]
        .iter()
        .map(|field| field.parse::<u64>().expect("ticks"))
        .sum();
    Duration::from_millis(ticks * 10)
}
