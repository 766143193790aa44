//! The live view as it is drawn: a line about the reading, one for each tree and each peer, the actors, the last events,
//! the keys.
//!
//! What a colour says stands there as a word too, so the view is whole without colours.

use std::time::Instant;

use protocol::observer::{ActorState, PeerState, PeerView, TreeEventView, TreeView};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row as TableRow, Table};

use super::rows::{Row, peer_line};
use super::view::View;
use crate::output::{STATE_COLUMN, printable, rounded};

/// Events that are shown at the bottom.
const EVENTS_SHOWN: usize = 5;
/// Height from which on there is room for events.
const HEIGHT_WITH_EVENTS: u16 = 18;

/// Peers that have a line of their own; those that do not answer come first.
const PEERS_SHOWN: usize = 8;

const KEYS: &str = "q quit   up/down PgUp/PgDn Home/End scroll   / filter   Esc clear filter";

/// Width below which the median is left out, so that the reason of the last exit has room.
const WIDTH_WITH_MEDIAN: u16 = 100;

/// The columns: title, width, content.
type Column = (&'static str, Constraint, fn(&Row) -> String);
const COLUMNS: [Column; 10] = [
    ("ACTOR", Constraint::Min(16), |row| {
        format!("{}{}", "  ".repeat(row.depth), row.name)
    }),
    (STATE_COLUMN, Constraint::Length(9), |row| {
        row.state.as_str().to_owned()
    }),
    ("LIFE", Constraint::Length(4), |row| row.life.to_string()),
    ("RESTARTS", Constraint::Length(9), |row| row.restarts.clone()),
    ("BUSY", Constraint::Length(5), |row| row.busy.clone()),
    ("QUEUE", Constraint::Length(9), |row| row.queue.clone()),
    (MEDIAN, Constraint::Length(5), |row| row.p50.clone()),
    ("P99", Constraint::Length(5), |row| row.p99.clone()),
    ("MSG/S", Constraint::Length(5), |row| row.rate.clone()),
    ("LAST EXIT", Constraint::Fill(2), |row| row.last_exit.clone()),
];
const MEDIAN: &str = "P50";

/// Draws the whole view.
pub(super) fn draw(frame: &mut Frame<'_>, view: &View, now: Instant, colours: bool) {
    let area = frame.area();
    let n_events = if area.height < HEIGHT_WITH_EVENTS {
        0
    } else {
        EVENTS_SHOWN
    };
    let mut lines: Vec<Line<'_>> = view.current.trees.iter().map(tree_line).collect();
    lines.extend(peer_lines(&view.current.peers, colours));
    let heights = [1, lines.len(), 0, n_events, 1].map(|n| u16::try_from(n).unwrap_or(u16::MAX));
    let [head, trees, actors, events, keys] = Layout::vertical([
        Constraint::Length(heights[0]),
        Constraint::Length(heights[1]),
        Constraint::Min(3),
        Constraint::Length(heights[3]),
        Constraint::Length(heights[4]),
    ])
    .areas(area);
    frame.render_widget(head_line(view, now, colours), head);
    frame.render_widget(Paragraph::new(lines), trees);
    draw_actors(frame, actors, view, colours);
    frame.render_widget(Paragraph::new(event_lines(view, now)), events);
    frame.render_widget(key_line(view), keys);
}

fn head_line<'a>(view: &View, now: Instant, colours: bool) -> Line<'a> {
    let age = rounded(now.saturating_duration_since(view.read_at));
    let title = Span::styled("hiveforge observer", Modifier::BOLD);
    match &view.lost {
        None => Line::from(vec![title, Span::raw(format!("  {}  read {age} ago", view.url))]),
        Some((since, why)) => {
            let lost = rounded(now.saturating_duration_since(*since));
            let text = format!("  LOST for {lost}, the reading is {age} old: {}", printable(why));
            Line::from(vec![title, Span::styled(text, alarm(colours))])
        }
    }
}

fn tree_line(tree: &TreeView) -> Line<'static> {
    let totals = &tree.totals;
    let stuck = tree
        .actors
        .iter()
        .filter(|actor| actor.state == ActorState::Stuck)
        .count();
    let text = format!(
        "{}: {} actors, {stuck} stuck, restarts {}, crashes {}, kills {}, abandoned {}",
        tree.name,
        tree.actors.len(),
        totals.restarts,
        totals.crashes,
        totals.kills,
        totals.abandoned,
    );
    Line::raw(text)
}

/// The peers, those that do not answer first.
fn peer_lines(peers: &[PeerView], colours: bool) -> Vec<Line<'static>> {
    let mut peers: Vec<&PeerView> = peers.iter().collect();
    peers.sort_by_key(|peer| peer.state == PeerState::Up);
    let style = |peer: &PeerView| match peer.state {
        PeerState::Up => Style::new(),
        PeerState::Silent | PeerState::Unreachable => alarm(colours),
    };
    let shown = peers.iter().take(PEERS_SHOWN);
    let mut lines: Vec<_> = shown
        .map(|peer| Line::styled(peer_line(peer), style(peer)))
        .collect();
    if let Some(more @ 1..) = peers.len().checked_sub(PEERS_SHOWN) {
        lines.push(Line::raw(format!("and {more} more coordinators")));
    }
    lines
}

fn draw_actors(frame: &mut Frame<'_>, area: Rect, view: &View, colours: bool) {
    let rows = view.rows();
    // The last rows stay at the bottom instead of leaving a gap.
    let room = usize::from(area.height.saturating_sub(1));
    let first = view.scroll.min(rows.len().saturating_sub(room));
    let shown = rows.into_iter().skip(first).take(room);
    let fits = |(title, ..): &&Column| *title != MEDIAN || area.width >= WIDTH_WITH_MEDIAN;
    let columns: Vec<&Column> = COLUMNS.iter().filter(fits).collect();
    let lines = shown.map(|row| {
        let cell = |(title, _, content): &&Column| match *title {
            STATE_COLUMN => Cell::from(content(&row)).style(style(row.state, colours)),
            _ => Cell::from(content(&row)),
        };
        TableRow::new(columns.iter().map(cell).collect::<Vec<_>>())
    });
    let widths = columns.iter().map(|(_, width, _)| *width);
    let header = TableRow::new(columns.iter().map(|(title, ..)| *title)).style(Modifier::BOLD);
    frame.render_widget(Table::new(lines, widths).header(header), area);
}

/// How a state looks. Without colours what needs attention is bold.
fn style(state: ActorState, colours: bool) -> Style {
    match state {
        ActorState::Running if colours => Style::new().fg(Color::Green),
        ActorState::Starting | ActorState::Stopping if colours => Style::new().fg(Color::Yellow),
        ActorState::Running | ActorState::Starting | ActorState::Stopping => Style::new(),
        ActorState::Stuck | ActorState::Abandoned => alarm(colours),
    }
}

fn alarm(colours: bool) -> Style {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    if colours { bold.fg(Color::Red) } else { bold }
}

/// The last events of all trees, the newest at the bottom.
fn event_lines(view: &View, now: Instant) -> Vec<Line<'static>> {
    let since = now.saturating_duration_since(view.read_at);
    let mut events: Vec<&TreeEventView> = view.current.trees.iter().flat_map(|tree| &tree.events).collect();
    events.sort_by_key(|event| std::cmp::Reverse(event.age_ms));
    let first = events.len().saturating_sub(EVENTS_SHOWN);
    let line = |event: &&TreeEventView| {
        let age = rounded(std::time::Duration::from_millis(event.age_ms) + since);
        let what = event.detail.as_ref().unwrap_or(&event.what);
        let TreeEventView {
            path, incarnation, ..
        } = event;
        Line::raw(printable(&format!("{age:>5} ago  {path}#{incarnation} {what}")))
    };
    events.iter().skip(first).map(line).collect()
}

fn key_line(view: &View) -> Line<'static> {
    let text = match (view.is_typing, view.filter.as_str()) {
        (true, filter) => format!("filter: {filter}_   Enter keep   Esc clear"),
        (false, "") => KEYS.to_owned(),
        (false, filter) => format!("{KEYS}   [filter: {filter}]"),
    };
    let more = if view.current.truncated {
        "   (and more actors: --under PATH)"
    } else {
        ""
    };
    Line::styled(format!("{text}{more}"), Modifier::REVERSED)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crossterm::event::KeyCode;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::buffer::Buffer;

    use super::super::rows::sample;
    use super::*;

    /// The view four hundred milliseconds after the second reading.
    fn view() -> (View, Instant) {
        let begun = Instant::now();
        let mut view = View::new("http://127.0.0.1:4711".to_owned(), sample::first(), begun);
        view.on_reading(sample::second(), begun);
        (view, begun + Duration::from_millis(400))
    }

    fn drawn(view: &View, now: Instant, colours: bool, (width, height): (u16, u16)) -> Buffer {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, view, now, colours)).unwrap();
        terminal.backend().buffer().clone()
    }

    fn text(buffer: &Buffer) -> String {
        let width = usize::from(buffer.area.width);
        let symbols: Vec<&str> = buffer.content.iter().map(|cell| cell.symbol()).collect();
        let lines = symbols
            .chunks(width)
            .map(|line| line.concat().trim_end().to_owned());
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_whole_view() {
        let (view, now) = view();
        insta::assert_snapshot!(text(&drawn(&view, now, true, (120, 24))));
    }

    #[test]
    fn the_peers_of_a_cluster_stand_above_their_actors() {
        let now = Instant::now();
        let view = View::new("http://127.0.0.1:4711".to_owned(), sample::of_a_cluster(), now);
        insta::assert_snapshot!(text(&drawn(&view, now, true, (120, 24))));
    }

    #[test]
    fn a_small_terminal_shows_what_it_has_room_for() {
        let (mut view, now) = view();
        view.on_key(KeyCode::PageDown.into());
        insta::assert_snapshot!(text(&drawn(&view, now, true, (80, 10))));
        for size in [(1, 1), (3, 2), (80, 3)] {
            drawn(&view, now, true, size);
        }
    }

    #[test]
    fn a_lost_coordinator_is_shown_with_the_age_of_the_last_reading() {
        let (mut view, now) = view();
        let why = "cannot reach http://127.0.0.1:4711: Connection refused";
        view.on_loss(why.to_owned(), now);
        for c in "/agent".chars() {
            view.on_key(KeyCode::Char(c).into());
        }
        let later = now + Duration::from_secs(7);
        insta::assert_snapshot!(text(&drawn(&view, later, true, (120, 12))));
    }

    #[test]
    fn without_colours_there_is_the_same_text_and_no_colour() {
        let (view, now) = view();
        let [with, without] = [true, false].map(|colours| drawn(&view, now, colours, (120, 24)));
        assert_eq!(text(&with), text(&without));
        assert!(with.content.iter().any(|cell| cell.fg == Color::Red));
        assert!(without.content.iter().all(|cell| cell.fg == Color::Reset));
    }
}
