//! The agents' side of the history, read from what they log under `hiveforge::runs`.

use crate::history::{Moment, RunEvent, Turn};

/// What marks a line of the history.
const TARGET: &str = " hiveforge::runs: ";

/// The turns of all runs in the log of one process of an agent, in their order.
pub fn read(agent: &str, log: &str) -> Vec<Turn> {
    let lines = log.lines().filter_map(|line| line.split_once(TARGET));
    lines.filter_map(|(_, line)| turn(agent, line)).collect()
}

fn turn(agent: &str, line: &str) -> Option<Turn> {
    let field = |name: &str| {
        let mut words = line.split_ascii_whitespace();
        words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    };
    let event = match field("event")? {
        "started" => RunEvent::Started,
        "frozen" => RunEvent::Frozen,
        "thawed" => RunEvent::Thawed,
        "ended" => RunEvent::Ended,
        _ => return None,
    };
    let (_, job) = field("job.id")?.rsplit_once('-')?;
    Some(Turn {
        agent: agent.to_owned(),
        agent_id: field("agent")?.to_owned(),
        job: job.to_owned(),
        attempt: field("attempt")?.parse().ok()?,
        event,
        at: Moment(field("boot_ns")?.parse().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_history_are_read_and_others_are_not() {
        let log = "2026-11-22T00:20:01Z  INFO agent_tree: started agent=01k\n\
            2026-11-22T00:20:01Z DEBUG hiveforge::runs: the command runs event=started job.id=default-01kb attempt=2 boot_ns=123 agent=01ka\n\
            2026-11-22T00:20:02Z  WARN hiveforge::runs: no renewal for most of the lease's life: the run is frozen event=frozen job.id=default-01kb attempt=2 boot_ns=456 agent=01ka\n";
        let turns = read("a", log);
        let shown: Vec<_> = turns.iter().map(|turn| (turn.event, turn.at.0)).collect();
        assert_eq!(shown, [(RunEvent::Started, 123), (RunEvent::Frozen, 456)]);
        let first = turns.first().unwrap();
        let shown = (first.job.as_str(), first.attempt, first.agent_id.as_str());
        assert_eq!(shown, ("01kb", 2, "01ka"));
    }
}
