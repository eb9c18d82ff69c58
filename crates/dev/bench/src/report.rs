//! The table of figures.

use std::fmt;

use crate::process::machine_load;

/// Figures in the order in which they were taken.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
    load: Vec<String>,
}

#[derive(Debug)]
struct Row {
    what: String,
    figure: String,
    detail: String,
}

impl Report {
    /// Notes the machine's load before.
    pub(crate) fn begin(&mut self) {
        self.load.push(format!("before: {}", machine_load()));
    }

    /// Notes the machine's load after.
    pub(crate) fn end(&mut self) {
        self.load.push(format!("after: {}", machine_load()));
    }

    /// Adds a figure, and says so: some take minutes.
    pub(crate) fn add(&mut self, what: impl Into<String>, figure: impl Into<String>, detail: impl Into<String>) {
        let row = Row { what: what.into(), figure: figure.into(), detail: detail.into() };
        eprintln!("{}: {} {}", row.what, row.figure, row.detail);
        self.rows.push(row);
    }

    pub(crate) fn to_json(&self) -> serde_json::Value {
        let row = |row: &Row| serde_json::json!({"what": row.what, "figure": row.figure, "detail": row.detail});
        serde_json::json!({"figures": self.rows.iter().map(row).collect::<Vec<_>>(), "machine": self.load})
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width =
            |part: fn(&Row) -> &String| self.rows.iter().map(|row| part(row).chars().count()).max().unwrap_or(0);
        let (what, figure) = (width(|row| &row.what), width(|row| &row.figure));
        for row in &self.rows {
            let line = format!("{:<what$}  {:>figure$}  {}", row.what, row.figure, row.detail);
            writeln!(formatter, "{}", line.trim_end())?;
        }
        writeln!(formatter, "machine {}", self.load.join("; "))
    }
}
