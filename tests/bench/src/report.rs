//! What a row says, the table, the JSON file, and the comparison with a recorded run.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

/// What the measured value has to be.
#[derive(Clone, Copy, Debug)]
pub enum Bound {
    AtMost(f64),
    AtLeast(f64),
    /// Not further than this from zero, either way.
    Within(f64),
    /// Printed for the reader, no target.
    None,
}

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its name in the JSON file.
    pub name: &'static str,
    /// What was measured, for a person.
    pub what: String,
    /// The number that the bound is about.
    pub value: f64,
    /// Unit of `value`, such as `RTT` or `× raw`.
    pub unit: &'static str,
    pub bound: Bound,
    /// Whether `value` is a ratio or count that does not depend on the machine: what `--check`
    /// compares.
    pub portable: bool,
    /// Absolute values and the spread over the rounds, for a person.
    pub detail: String,
}

impl Row {
    /// `None` where there is no target.
    pub fn holds(&self) -> Option<bool> {
        match self.bound {
            Bound::AtMost(most) => Some(self.value <= most),
            Bound::AtLeast(least) => Some(self.value >= least),
            Bound::Within(most) => Some(self.value.abs() <= most),
            Bound::None => None,
        }
    }

    /// Whether another measurement of the same row came out better.
    pub fn is_worse_than(&self, other: &Row) -> bool {
        self.worsened(other.value) > 1.0
    }

    /// How much worse than `before`, as a factor; 1 is the same.
    fn worsened(&self, before: f64) -> f64 {
        match self.bound {
            Bound::AtLeast(_) => before / self.value,
            _ => self.value / before,
        }
    }
}

/// Values of the two stacks, round by round.
#[derive(Clone, Debug, Default)]
pub struct Rounds {
    pub raw: Vec<f64>,
    pub pinhole: Vec<f64>,
}

impl Rounds {
    /// Takes both stacks in turn; each is first in every other round.
    pub fn measure(count: usize, mut one: impl FnMut(Side) -> Result<f64>) -> Result<Rounds> {
        let mut rounds = Rounds::default();
        for round in 0..count {
            let order = [Side::Raw, Side::Pinhole];
            for side in if round % 2 == 0 { order } else { [order[1], order[0]] } {
                let value = one(side)?;
                match side {
                    Side::Raw => rounds.raw.push(value),
                    Side::Pinhole => rounds.pinhole.push(value),
                }
            }
        }
        Ok(rounds)
    }

    /// Median over the rounds of pinhole's value as a multiple of raw quinn's.
    pub fn ratio(&self) -> f64 {
        median(&self.ratios())
    }

    fn ratios(&self) -> Vec<f64> {
        self.pinhole.iter().zip(&self.raw).map(|(pinhole, raw)| pinhole / raw).collect()
    }

    /// Medians of both stacks and the extremes of the ratio.
    pub fn detail(&self, unit: &str, scale: f64) -> String {
        let ratios = self.ratios();
        let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let most = ratios.iter().copied().fold(0.0, f64::max);
        format!(
            "pinhole {:.4}, raw {:.4} {unit}; ratio {least:.3} to {most:.3} in {} rounds",
            median(&self.pinhole) * scale,
            median(&self.raw) * scale,
            ratios.len()
        )
    }
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Raw,
    Pinhole,
}

/// The middle value; the mean of the two in the middle of an even number.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => sorted[length / 2],
        length => (sorted[length / 2 - 1] + sorted[length / 2]) / 2.0,
    }
}

/// Prints one row, as soon as it is known.
pub fn print(row: &Row) {
    let target = match row.bound {
        Bound::AtMost(most) => format!("≤ {most}"),
        Bound::AtLeast(least) => format!("≥ {least}"),
        Bound::Within(most) => format!("± {most}"),
        Bound::None => "–".to_owned(),
    };
    let verdict = match row.holds() {
        Some(true) => "ok",
        Some(false) => "MISSED",
        None => "",
    };
    let value = format!("{:.3} {}", row.value, row.unit);
    println!("{:<54} {:>9} {:>16}  {:<6}  {}", row.what, target, value, verdict, row.detail);
}

/// The heading over the rows.
pub fn heading() {
    println!("{:<54} {:>9} {:>16}  {:<6}  absolute", "what", "target", "measured", "");
}

/// Writes the rows for a machine to read.
pub fn write(rows: &[Row], path: &Path) -> Result<()> {
    let entry = |row: &Row| {
        let value = json!({
            "value": row.value, "unit": row.unit, "portable": row.portable,
            "holds": row.holds(), "detail": row.detail,
        });
        (row.name.to_owned(), value)
    };
    let object: Map<String, Value> = rows.iter().map(entry).collect();
    let text = serde_json::to_string_pretty(&object)? + "\n";
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// A ratio may get this much worse than recorded before it is a failure.
const TOLERANCE: f64 = 1.15;

/// Names the rows that got worse than recorded, with both values.
pub fn worse_than(rows: &[Row], path: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the recorded run {}", path.display()))?;
    let recorded: Value = serde_json::from_str(&text)?;
    let complaint = |row: &Row| {
        let before = recorded[row.name]["value"].as_f64()?;
        (row.worsened(before) > TOLERANCE)
            .then(|| format!("{}: {:.3} was recorded, now {:.3}", row.name, before, row.value))
    };
    Ok(rows.iter().filter(|row| row.portable).filter_map(complaint).collect())
}
