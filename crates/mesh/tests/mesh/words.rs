//! What goes over the mesh: questions, hints and drills, and what is too long, too slow or goes wrong.

use crate::cluster::{Cluster, Member, until};

/// Hints whose way is measured.
const HINTS: usize = 21;

fn pair() -> (Cluster, Member, Member) {
    let cluster = Cluster::new(&["a", "b"]);
    let (mut a, mut b) = (cluster.start("a"), cluster.start("b"));
    a.wait_for("b");
    b.wait_for("a");
    (cluster, a, b)
}

fn answer(asks: &mut Member, question: &str) -> String {
    asks.observe(question).1.remove("b").unwrap()
}

#[test]
fn a_question_is_answered_and_one_that_goes_wrong_harms_nobody() {
    let (_cluster, mut a, _b) = pair();
    assert_eq!(answer(&mut a, "who"), "b: who");
    assert_eq!(
        answer(&mut a, "much"),
        format!("{} bytes", mesh::ANSWER_BYTES_MAX)
    );
    let refused = answer(&mut a, "too much");
    assert!(refused.contains("at most"), "{refused}");
    let late = answer(&mut a, "never");
    assert!(late.contains("no answer within 3000 ms"), "{late}");
    // At once, or too late if telling of the panic takes so long.
    let failed = answer(&mut a, "panic");
    assert!(
        failed.contains("failed at it") || failed.contains("no answer within"),
        "{failed}"
    );
    until("an answer after a panic", || {
        match answer(&mut a, "who").as_str() {
            "b: who" => Ok(()),
            other => Err(other.to_owned()),
        }
    });
    assert_eq!(a.sees("b"), "up");
}

#[test]
fn a_question_that_is_too_long_is_not_asked_and_the_connection_stays() {
    let (_cluster, mut a, _b) = pair();
    let long = "x".repeat(mesh::QUESTION_BYTES_MAX + 1);
    assert!(answer(&mut a, &long).contains("too long"));
    assert_eq!(answer(&mut a, "who"), "b: who");
}

#[test]
fn a_hint_reaches_the_others_at_once_and_not_its_giver() {
    let (_cluster, mut a, mut b) = pair();
    for n in 1..=HINTS {
        let () = a.tell("hint-now");
        until("a hint", || match b.tell::<Vec<u64>>("delays").len() {
            arrived if arrived == n => Ok(()),
            arrived => Err(format!("{arrived} of {n}")),
        });
    }
    let mut delays: Vec<u64> = b.tell("delays");
    delays.sort_unstable();
    println!(
        "hints took {} us at the median, {} us at most",
        delays[HINTS / 2],
        delays[HINTS - 1]
    );
    assert!(delays[HINTS / 2] < 100_000, "microseconds: {delays:?}");
    assert!(a.tell::<Vec<u64>>("delays").is_empty(), "nobody hears itself");
}

#[test]
fn a_hint_that_is_too_long_becomes_one_that_says_anything() {
    let (_cluster, mut a, mut b) = pair();
    let long = "x".repeat(mesh::HINT_BYTES_MAX + 1);
    let () = a.tell(&format!("hint {long}"));
    until("a hint", || {
        let hints: Vec<String> = b.tell("hints");
        if hints == ["anything"] {
            Ok(())
        } else {
            Err(format!("{hints:?}"))
        }
    });
}

#[test]
fn a_drill_goes_to_the_one_that_is_named() {
    let (_cluster, mut a, _b) = pair();
    assert_eq!(a.tell::<String>("drill b panic"), "b did panic");
    assert_eq!(a.tell::<String>("drill b refuse"), "silent: no drills here");
    let unknown = a.tell::<String>("drill x panic");
    let (asked, known) = unknown.split_once("; there are: ").unwrap();
    // Who has dialled first is known by its name before it is known at which address it is.
    assert!(
        asked.contains("`x`") && known.split(", ").any(|name| name == "b"),
        "{unknown}"
    );
}
