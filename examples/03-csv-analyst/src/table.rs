//! Statistics of a table.

use std::collections::HashMap;
use std::fmt;

use csv::{ReaderBuilder, Trim};
use serde::Serialize;

/// How many of the most frequent values of a text column are shown.
const TOP: usize = 3;

/// What there is to say of a table.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Rows without the header.
    rows: usize,
    columns: Vec<Column>,
}

#[derive(Debug, Serialize)]
struct Column {
    name: String,
    /// Rows that have a value here.
    count: usize,
    /// Rows that have none.
    missing: usize,
    /// Different values.
    distinct: usize,
    #[serde(flatten)]
    values: Values,
}

/// A column is of numbers if all its values are.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Values {
    Number { min: f64, max: f64, mean: f64 },
    Text { top: Vec<Frequent> },
    Empty,
}

#[derive(Debug, Serialize)]
struct Frequent {
    value: String,
    count: usize,
}

/// Describes the columns of a CSV text with a header line.
///
/// # Errors
///
/// If it cannot be read; the message says where.
pub(crate) fn describe(csv: &[u8]) -> Result<Report, csv::Error> {
    let mut reader = ReaderBuilder::new().trim(Trim::All).from_reader(csv);
    let mut columns: Vec<(String, Vec<String>)> =
        reader.headers()?.iter().map(|name| (name.to_owned(), Vec::new())).collect();
    let mut rows = 0;
    for row in reader.records() {
        let row = row?;
        rows += 1;
        for ((_, values), value) in columns.iter_mut().zip(&row) {
            if !value.is_empty() {
                values.push(value.to_owned());
            }
        }
    }
    let columns = columns.into_iter().map(|(name, values)| column(name, rows, values)).collect();
    Ok(Report { rows, columns })
}

fn column(name: String, rows: usize, values: Vec<String>) -> Column {
    let count = values.len();
    let numbers: Option<Vec<f64>> = values.iter().map(|value| number(value)).collect();
    let mut counts: HashMap<String, usize> = HashMap::new();
    for value in values {
        *counts.entry(value).or_default() += 1;
    }
    let distinct = counts.len();
    let values = match numbers {
        _ if count == 0 => Values::Empty,
        Some(numbers) => {
            #[expect(clippy::cast_precision_loss, reason = "no file has 2^53 rows")]
            let mean = numbers.iter().sum::<f64>() / count as f64;
            Values::Number {
                min: numbers.iter().copied().fold(f64::INFINITY, f64::min),
                max: numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                mean: (mean * 1000.0).round() / 1000.0,
            }
        }
        None => Values::Text { top: most_frequent(counts) },
    };
    Column { name, count, missing: rows - count, distinct, values }
}

/// A finite number; JSON has no others.
fn number(value: &str) -> Option<f64> {
    value.parse().ok().filter(|number: &f64| number.is_finite())
}

fn most_frequent(counts: HashMap<String, usize>) -> Vec<Frequent> {
    let mut all: Vec<Frequent> =
        counts.into_iter().map(|(value, count)| Frequent { value, count }).collect();
    // Equally frequent ones by name, so that the same file has the same answer.
    all.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.value.cmp(&b.value)));
    all.truncate(TOP);
    all
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows, {} columns.", self.rows, self.columns.len())?;
        for Column { name, missing, distinct, values, .. } in &self.columns {
            write!(f, "\n{name}: ")?;
            match values {
                Values::Number { min, max, mean } => write!(f, "{min} to {max}, mean {mean}")?,
                Values::Text { top } => {
                    let top: Vec<_> =
                        top.iter().map(|it| format!("{} ({})", it.value, it.count)).collect();
                    write!(f, "{distinct} different, most often {}", top.join(", "))?;
                }
                Values::Empty => write!(f, "no values")?,
            }
            if *missing > 0 {
                write!(f, "; missing in {missing} rows")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::describe;

    #[test]
    fn numbers_and_texts_are_told_apart() {
        let report = describe(b"a,b,c\n1,x,\n2.5,y,\n,x,\n").unwrap();
        assert_eq!(
            report.to_string(),
            "3 rows, 3 columns.\n\
             a: 1 to 2.5, mean 1.75; missing in 1 rows\n\
             b: 2 different, most often x (2), y (1)\n\
             c: no values; missing in 3 rows"
        );
    }

    #[test]
    fn a_row_of_another_length_is_an_error_that_says_where() {
        let error = describe(b"a,b\n1,2\n3\n").unwrap_err().to_string();
        assert!(error.contains("line: 3"), "{error}");
    }
}
