//! Markdown tables that also read well in a terminal.

/// Rows of cells under a heading. The first column is left-aligned, the others right.
#[derive(Debug, Clone)]
pub struct Table {
    heading: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with that heading.
    #[must_use]
    pub fn new<const N: usize>(heading: [&str; N]) -> Self {
        Self { heading: heading.map(str::to_owned).to_vec(), rows: Vec::new() }
    }

    /// Adds a row; cells that are missing are empty.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut cells: Vec<String> = cells.into_iter().collect();
        cells.resize(self.heading.len(), String::new());
        self.rows.push(cells);
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all = || std::iter::once(&self.heading).chain(&self.rows);
        let widths: Vec<usize> = (0..self.heading.len())
            .map(|column| all().map(|row| row[column].chars().count()).max().unwrap_or(0).max(3))
            .collect();
        let write_row = |out: &mut std::fmt::Formatter<'_>, row: &[String]| {
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                if column == 0 {
                    write!(out, "| {cell:width$} ")?;
                } else {
                    write!(out, "| {cell:>width$} ")?;
                }
            }
            writeln!(out, "|")
        };
        write_row(out, &self.heading)?;
        for (column, width) in widths.iter().enumerate() {
            let dashes = "-".repeat(width + 1);
            write!(out, "|{}", if column == 0 { format!("{dashes}-") } else { format!("{dashes}:") })?;
        }
        writeln!(out, "|")?;
        self.rows.iter().try_for_each(|row| write_row(out, row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_short_rows_are_filled() {
        let mut table = Table::new(["target", "tok/s"]);
        table.row(["jetmill".to_owned(), "120.5".to_owned()]);
        table.row(["peer".to_owned()]);
        let expected = "\
| target  | tok/s |
|---------|------:|
| jetmill | 120.5 |
| peer    |       |
";
        assert_eq!(table.to_string(), expected);
    }
}
