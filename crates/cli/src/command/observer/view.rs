//! What the live view knows: the last two readings, whether the coordinator is lost, and what the user has typed.
//!
//! Pure: readings, losses and keys come in, the drawing looks at it. Times are arguments.

use std::time::Instant;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use protocol::observer::Reading;

use super::rows::{Row, rows};

/// Longest filter.
const FILTER_CHARS_MAX: usize = 64;
/// How many rows a page key moves.
const PAGE: usize = 10;

/// The state of the view.
pub(super) struct View {
    /// Who is observed.
    pub(super) url: String,
    previous: Option<Reading>,
    pub(super) current: Reading,
    pub(super) read_at: Instant,
    /// Since when no reading comes, and why.
    pub(super) lost: Option<(Instant, String)>,
    pub(super) filter: String,
    /// Keys go to the filter.
    pub(super) is_typing: bool,
    /// How many rows are above the first one shown.
    pub(super) scroll: usize,
}

/// What follows from a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Stay,
    Quit,
}

impl View {
    pub(super) fn new(url: String, first: Reading, now: Instant) -> Self {
        Self {
            url,
            previous: None,
            current: first,
            read_at: now,
            lost: None,
            filter: String::new(),
            is_typing: false,
            scroll: 0,
        }
    }

    pub(super) fn on_reading(&mut self, reading: Reading, now: Instant) {
        self.previous = Some(std::mem::replace(&mut self.current, reading));
        self.read_at = now;
        self.lost = None;
    }

    /// No reading came. What was read last stays, with its age.
    pub(super) fn on_loss(&mut self, why: String, now: Instant) {
        let since = self.lost.take().map_or(now, |(since, _)| since);
        self.lost = Some((since, why));
    }

    pub(super) fn on_key(&mut self, key: KeyEvent) -> Flow {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                // In raw mode it is a key like any other.
                KeyCode::Char('c') => Flow::Quit,
                _ => Flow::Stay,
            };
        }
        if self.is_typing {
            self.type_filter(key.code);
            return Flow::Stay;
        }
        match key.code {
            KeyCode::Char('q') => return Flow::Quit,
            KeyCode::Char('/') => self.is_typing = true,
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Up => self.scroll = self.scroll.saturating_sub(1),
            KeyCode::Down => self.scroll += 1,
            KeyCode::PageUp => self.scroll = self.scroll.saturating_sub(PAGE),
            KeyCode::PageDown => self.scroll += PAGE,
            KeyCode::Home => self.scroll = 0,
            KeyCode::End => self.scroll = usize::MAX,
            _ => {}
        }
        // Only now is it known how many rows there are.
        self.scroll = self.scroll.min(self.rows().len().saturating_sub(1));
        Flow::Stay
    }

    fn type_filter(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter => self.is_typing = false,
            KeyCode::Esc => {
                self.is_typing = false;
                self.filter.clear();
            }
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char(c) if self.filter.chars().count() < FILTER_CHARS_MAX => self.filter.push(c),
            _ => {}
        }
        self.scroll = 0;
    }

    pub(super) fn rows(&self) -> Vec<Row> {
        rows(self.previous.as_ref(), &self.current, &self.filter)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::rows::sample;
    use super::*;

    fn view() -> View {
        View::new("http://x:1".to_owned(), sample::first(), Instant::now())
    }

    fn press(view: &mut View, code: KeyCode) -> Flow {
        view.on_key(code.into())
    }

    #[test]
    fn q_and_ctrl_c_quit_and_a_typed_q_does_not() {
        let mut view = view();
        assert_eq!(press(&mut view, KeyCode::Char('q')), Flow::Quit);
        let ctrl_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(view.on_key(ctrl_c), Flow::Quit);
        press(&mut view, KeyCode::Char('/'));
        assert_eq!(press(&mut view, KeyCode::Char('q')), Flow::Stay);
        assert_eq!(view.filter, "q");
        assert_eq!(view.on_key(ctrl_c), Flow::Quit);
    }

    #[test]
    fn a_filter_is_typed_kept_and_cleared() {
        let mut view = view();
        for c in "/runx".chars() {
            press(&mut view, KeyCode::Char(c));
        }
        press(&mut view, KeyCode::Backspace);
        press(&mut view, KeyCode::Enter);
        assert_eq!((view.filter.as_str(), view.is_typing), ("run", false));
        assert_eq!(view.rows().len(), 4);
        press(&mut view, KeyCode::Esc);
        assert_eq!(view.rows().len(), 9);
    }

    #[test]
    fn scrolling_ends_at_both_ends() {
        let mut view = view();
        press(&mut view, KeyCode::Up);
        assert_eq!(view.scroll, 0);
        press(&mut view, KeyCode::Down);
        press(&mut view, KeyCode::PageDown);
        press(&mut view, KeyCode::PageDown);
        assert_eq!(view.scroll, 8);
        press(&mut view, KeyCode::Home);
        press(&mut view, KeyCode::End);
        assert_eq!(view.scroll, 8);
    }

    #[test]
    fn a_loss_is_counted_from_its_beginning_and_ends_with_a_reading() {
        let (mut view, begun) = (view(), Instant::now());
        view.on_loss("refused".to_owned(), begun);
        view.on_loss("timed out".to_owned(), begun + Duration::from_secs(5));
        assert_eq!(view.lost, Some((begun, "timed out".to_owned())));
        assert_eq!(view.current, sample::first());
        view.on_reading(sample::second(), begun + Duration::from_secs(6));
        assert_eq!(view.lost, None);
    }
}
