//! The lines on the screen, from what is known and the screen's size (core).
//!
//! No line is wider than the screen. Where it is narrow, columns shrink, and then those go that say
//! least. What came from elsewhere is made harmless first: only characters that take one place each.

use super::super::output::Color;
use super::super::view::{bytes, duration};
use super::history::{History, REMEMBERED};
use super::reading::Peer;
use super::screen::Data;

/// A screen's size, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) width: usize,
    pub(super) height: usize,
}

/// A line in colours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line(Vec<(Option<Color>, String)>);

impl Line {
    /// The pieces, each with its colour.
    pub(super) fn pieces(&self) -> &[(Option<Color>, String)] {
        &self.0
    }

    /// The line without colours.
    #[cfg(test)]
    pub(super) fn text(&self) -> String {
        self.0.iter().map(|(_, piece)| piece.as_str()).collect()
    }

    fn of(color: Option<Color>, text: &str, width: usize) -> Self {
        Self(vec![(color, cut(text, width))])
    }
}

/// From this height on, there are three lines of head and one of foot.
const ROOMY: usize = 9;

/// How many peers the screen has places for.
pub(super) fn places(size: Size) -> usize {
    let around = if size.height >= ROOMY { 5 } else { 2 };
    size.height.saturating_sub(around).max(1)
}

/// The screen.
pub(super) fn lines(data: &Data, size: Size) -> Vec<Line> {
    let Size { width, height } = size;
    let mut lines = Vec::new();
    if height >= ROOMY {
        lines.push(identity(data, width));
    }
    lines.push(counts(data, width));
    if height >= ROOMY {
        lines.push(troubles(data, width));
    }
    let columns = fit(data, width);
    lines.push(Line::of(Some(Color::Strong), &titles(&columns), width));
    let shown = data.reading.peers.iter().skip(data.offset).take(places(size));
    lines.extend(shown.map(|peer| row(data, peer, &columns, width)));
    if data.reading.peers.is_empty() {
        let hint = "no peers are known; `connect PEER@HOST:PORT` adds one";
        lines.push(Line::of(Some(Color::Quiet), hint, width));
    }
    if height >= ROOMY {
        lines.resize(height - 1, Line::default());
        lines.push(foot(data, size));
    }
    lines.resize(height, Line::default());
    lines
}

// Head and foot

fn identity(data: &Data, width: usize) -> Line {
    let node = &data.reading.node;
    let up = format!("  up {}", duration(node.uptime_s));
    let room = width.saturating_sub(up.chars().count());
    Line::of(Some(Color::Strong), &(cut(&harmless(&node.id), room) + &up), width)
}

fn counts(data: &Data, width: usize) -> Line {
    let node = &data.reading.node;
    let shown =
        |rate: Option<u64>| rate.map_or("-".to_owned(), |rate| format!("{}/s", bytes(rate)));
    let (received, sent) = (shown(data.traffic.received), shown(data.traffic.sent));
    let long = format!(
        "{} connected, {} known   in {received} ({})   out {sent} ({})",
        node.connected,
        node.known,
        bytes(node.received),
        bytes(node.sent)
    );
    let short = format!("{}/{} up  in {received}  out {sent}", node.connected, node.known);
    let text = if long.chars().count() <= width { long } else { short };
    Line::of(None, &text, width)
}

fn troubles(data: &Data, width: usize) -> Line {
    if let Some(seconds) = data.silent_s {
        let text = format!("the node has not answered for {seconds} s");
        return Line::of(Some(Color::Bad), &text, width);
    }
    let problems = &data.reading.node.problems;
    let (color, text) = match (problems.last(), problems.len()) {
        (None, _) => (Color::Quiet, "no problems".to_owned()),
        (Some(what), 1) => (Color::Warn, format!("problem: {}", harmless(what))),
        (Some(what), count) => {
            (Color::Warn, format!("{count} problems, the last: {}", harmless(what)))
        }
    };
    Line::of(Some(color), &text, width)
}

fn foot(data: &Data, size: Size) -> Line {
    let count = data.reading.peers.len();
    let last = count.min(data.offset + places(size));
    let first = last.min(data.offset + 1);
    let text = format!(
        "q quit  s sort: {}  {first}-{last} of {count}  ↑ ↓ PgUp PgDn Home End",
        data.sort.name()
    );
    Line::of(Some(Color::Quiet), &text, size.width)
}

// The table

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Peer,
    State,
    Path,
    Addr,
    Rtt,
    Spark,
    Loss,
    In,
    Out,
    Since,
}

use Column::{Addr, In, Loss, Out, Path, Rtt, Since, Spark, State};

const COLUMNS: [Column; 10] = [Column::Peer, State, Path, Addr, Rtt, Spark, Loss, In, Out, Since];
/// What goes first where there is no room. The peer and its state stay.
const GOES: [Column; 8] = [Path, Loss, Since, Addr, Out, In, Spark, Rtt];
/// What grows where there is room.
const GROWS: [Column; 3] = [Addr, Column::Peer, Spark];

impl Column {
    const fn title(self) -> &'static str {
        match self {
            Self::Peer => "PEER",
            State => "STATE",
            Path => "PATH",
            Addr => "ADDRESS",
            Rtt => "RTT",
            Spark => "30 s",
            Loss => "LOSS",
            In => "IN/s",
            Out => "OUT/s",
            Since => "FOR",
        }
    }

    /// The least and the greatest width that makes sense.
    fn bounds(self, data: &Data) -> (usize, usize) {
        let widest = |least: usize, text: fn(&Peer) -> usize| {
            data.reading.peers.iter().map(text).max().unwrap_or(0).max(least)
        };
        match self {
            Self::Peer => (10, 12),
            State => {
                let width = widest(9, |peer| peer.state.chars().count()).min(12);
                (width, width)
            }
            Path | Rtt => (6, 6),
            Addr => {
                let width = widest(12, |peer| place(peer).chars().count()).min(47);
                (12, width)
            }
            Spark => (6, REMEMBERED),
            Loss | Since => (4, 4),
            In | Out => (5, 5),
        }
    }

    const fn is_number(self) -> bool {
        matches!(self, Rtt | Loss | In | Out | Since)
    }
}

/// The columns for which there is room, with their widths.
fn fit(data: &Data, width: usize) -> Vec<(Column, usize)> {
    let mut columns: Vec<(Column, usize)> =
        COLUMNS.into_iter().map(|column| (column, column.bounds(data).0)).collect();
    for goes in GOES {
        if taken(&columns) > width {
            columns.retain(|(column, _)| *column != goes);
        }
    }
    let mut room = width.saturating_sub(taken(&columns));
    for grows in GROWS {
        if let Some((column, width)) = columns.iter_mut().find(|(column, _)| *column == grows) {
            let more = column.bounds(data).1.saturating_sub(*width).min(room);
            *width += more;
            room -= more;
        }
    }
    columns
}

/// With one place between columns.
fn taken(columns: &[(Column, usize)]) -> usize {
    columns.iter().map(|(_, width)| width + 1).sum::<usize>().saturating_sub(1)
}

fn titles(columns: &[(Column, usize)]) -> String {
    let cells: Vec<String> =
        columns.iter().map(|(column, width)| cell(*column, column.title(), *width)).collect();
    cells.join(" ")
}

fn row(data: &Data, peer: &Peer, columns: &[(Column, usize)], width: usize) -> Line {
    let history = data.histories.get(&peer.id);
    let mut line = Line::default();
    let mut room = width;
    for (i, (column, width)) in columns.iter().enumerate() {
        let space = if i == 0 { "" } else { " " };
        let text = cell(*column, &content(*column, peer, history, *width), *width);
        let piece = cut(&format!("{space}{text}"), room);
        room -= piece.chars().count();
        line.0.push((color(*column, peer), piece));
    }
    line
}

fn cell(column: Column, text: &str, width: usize) -> String {
    let text = cut(text, width);
    if column.is_number() { format!("{text:>width$}") } else { format!("{text:<width$}") }
}

fn content(column: Column, peer: &Peer, history: Option<&History>, width: usize) -> String {
    let dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    match column {
        // As the log does, the beginning alone.
        Column::Peer => harmless(&peer.id).chars().take(width).collect(),
        State => harmless(&peer.state),
        Path => dash(peer.path.as_deref().map(harmless)),
        Addr => harmless(&place(peer)),
        Rtt => dash(peer.rtt.map(round_trip)),
        Spark => history.map(|history| history.sparkline(width)).unwrap_or_default(),
        Loss => dash(peer.loss.map(percent)),
        In => dash(history.and_then(|history| history.traffic.received).map(short)),
        Out => dash(history.and_then(|history| history.traffic.sent).map(short)),
        Since => time(peer.since_s),
    }
}

/// Where a peer is, or when it is dialed again.
fn place(peer: &Peer) -> String {
    match (&peer.addr, peer.next_retry_s) {
        (Some(addr), _) => addr.clone(),
        (None, Some(seconds)) => format!("again in {}", time(seconds)),
        (None, None) => "-".to_owned(),
    }
}

fn color(column: Column, peer: &Peer) -> Option<Color> {
    match (column, peer.state.as_str()) {
        (State, "connected") => Some(Color::Good),
        (State, "connecting" | "suspect") => Some(Color::Warn),
        (State, "failed" | "denied") => Some(Color::Bad),
        (_, "disconnected" | "denied") => Some(Color::Quiet),
        (Loss, _) if peer.loss.is_some_and(|loss| loss >= 50) => Some(Color::Warn),
        _ => None,
    }
}

// Numbers in few places

/// Microseconds in six places.
fn round_trip(micros: u64) -> String {
    match micros {
        0..10_000 => format!("{}.{:02}ms", micros / 1_000, micros % 1_000 / 10),
        10_000..100_000 => format!("{}.{}ms", micros / 1_000, micros % 1_000 / 100),
        100_000..1_000_000 => format!("{}ms", micros / 1_000),
        1_000_000..100_000_000 => {
            format!("{}.{}s", micros / 1_000_000, micros % 1_000_000 / 100_000)
        }
        _ => ">99s".to_owned(),
    }
}

/// Thousandths as per cent, in four places.
fn percent(thousandths: u64) -> String {
    match thousandths {
        0..100 => format!("{}.{}%", thousandths / 10, thousandths % 10),
        _ => format!("{}%", (thousandths / 10).min(100)),
    }
}

/// A count in five places.
fn short(count: u64) -> String {
    let (mut whole, mut rest) = (count, 0);
    for unit in ["", "k", "M", "G", "T", "P"] {
        match whole {
            0..10 if !unit.is_empty() => return format!("{whole}.{}{unit}", rest / 100),
            0..1_000 => return format!("{whole}{unit}"),
            _ => (whole, rest) = (whole / 1_000, whole % 1_000),
        }
    }
    format!("{whole}E")
}

/// Seconds in four places.
fn time(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        86_400..86_400_000 => format!("{}d", seconds / 86_400),
        _ => ">3y".to_owned(),
    }
}

// Text

/// The beginning of a text, with a sign where something is missing.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept = text.chars().take(width.saturating_sub(1));
    if width == 0 { String::new() } else { kept.chain(['…']).collect() }
}

/// A text in which every character takes one place and moves nothing.
fn harmless(text: &str) -> String {
    let is_narrow = |c: char| {
        matches!(c, ' '..='~' | '\u{a1}'..='\u{ac}' | '\u{ae}'..='\u{2ff}' | '…' | '–' | '‘'..='”')
            || matches!(c, '\u{370}'..='\u{373}' | '\u{384}'..='\u{481}' if c.is_alphanumeric())
    };
    text.chars().map(|c| if is_narrow(c) { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests;
