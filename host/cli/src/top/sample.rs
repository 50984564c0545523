//! What `/metrics` showed at one moment, and what happened between two.

use std::time::Instant;

/// All series of one moment.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) at: Instant,
    series: Vec<Series>,
}

#[derive(Debug)]
struct Series {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

impl Sample {
    /// Reads Prometheus' text format; lines that are none of it are left out.
    pub(crate) fn parse(text: &str, at: Instant) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Self { at, series: lines.filter_map(series).collect() }
    }

    /// The sum over the series of that name with all these labels. 0 when there is none.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.matching(name, labels).map(|series| series.value).sum()
    }

    /// The values of a label of the series of that name with all these labels, each once.
    pub(crate) fn values(&self, name: &str, label: &str, labels: &[(&str, &str)]) -> Vec<&str> {
        let mut values: Vec<&str> = self.matching(name, labels).filter_map(|series| series.label(label)).collect();
        values.dedup();
        values
    }

    /// The buckets of a histogram: upper bound, and how many values are not above it.
    fn buckets(&self, name: &str, labels: &[(&str, &str)]) -> Vec<(f64, f64)> {
        let name = format!("{name}_bucket");
        let bucket = |series: &Series| Some((series.label("le")?.parse().ok()?, series.value));
        self.matching(&name, labels).filter_map(bucket).collect()
    }

    fn matching<'s>(&'s self, name: &str, labels: &[(&str, &str)]) -> impl Iterator<Item = &'s Series> + use<'s> {
        let fits = |series: &&Series| {
            series.name == name && labels.iter().all(|(label, value)| series.label(label) == Some(value))
        };
        self.series.iter().filter(fits).collect::<Vec<_>>().into_iter()
    }
}

impl Series {
    fn label(&self, wanted: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| label == wanted).map(|(_, value)| value.as_str())
    }
}

/// `name{label="value",…} 1.5`
fn series(line: &str) -> Option<Series> {
    let (series, value) = line.rsplit_once(' ')?;
    let value = value.parse().ok()?;
    let Some((name, rest)) = series.split_once('{') else {
        return Some(Series { name: series.to_owned(), labels: Vec::new(), value });
    };
    let mut labels = Vec::new();
    let mut rest = rest.strip_suffix('}')?;
    while let Some((label, after)) = rest.split_once("=\"") {
        let mut text = String::new();
        let mut characters = after.chars();
        loop {
            match characters.next()? {
                '"' => break,
                '\\' => match characters.next()? {
                    'n' => text.push('\n'),
                    other => text.push(other),
                },
                other => text.push(other),
            }
        }
        labels.push((label.trim_start_matches(',').to_owned(), text));
        rest = characters.as_str();
    }
    Some(Series { name: name.to_owned(), labels, value })
}

/// What happened between two samples.
pub(crate) struct Between<'a> {
    pub(crate) before: &'a Sample,
    pub(crate) now: &'a Sample,
}

impl Between<'_> {
    /// Length in seconds.
    pub(crate) fn seconds(&self) -> f64 {
        self.now.at.saturating_duration_since(self.before.at).as_secs_f64().max(0.001)
    }

    /// How much a counter grew a second. A daemon that was started anew counts from 0.
    pub(crate) fn rate(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let (before, now) = (self.before.sum(name, labels), self.now.sum(name, labels));
        let grown = if now < before { now } else { now - before };
        grown / self.seconds()
    }

    /// The value that `part` of what a histogram saw was not above, as Prometheus' `histogram_quantile` estimates it. None when it
    /// saw nothing.
    pub(crate) fn quantile(&self, part: f64, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let before = self.before.buckets(name, labels);
        let seen = |(bound, now): (f64, f64)| {
            let earlier = before.iter().find(|(other, _)| (other - bound).abs() < f64::EPSILON || *other == bound);
            (bound, (now - earlier.map_or(0.0, |(_, count)| *count)).max(0.0))
        };
        let buckets: Vec<(f64, f64)> = self.now.buckets(name, labels).into_iter().map(seen).collect();
        let all = buckets.last()?.1;
        if all <= 0.0 {
            return None;
        }
        let wanted = part * all;
        let (mut low, mut below) = (0.0, 0.0);
        for (bound, count) in buckets {
            if count >= wanted {
                if bound.is_infinite() {
                    return Some(low);
                }
                let inside = count - below;
                return Some(if inside > 0.0 { low + (bound - low) * (wanted - below) / inside } else { bound });
            }
            (low, below) = (bound, count);
        }
        Some(low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn sample(text: &str, at: Instant) -> Sample {
        Sample::parse(text, at)
    }

    #[test]
    fn series_are_read_with_their_labels() {
        let text = "# HELP x y\nplain 3\nlabelled{a=\"1\",b=\"say \\\"hi\\\", \\\\\"} 2.5\nlabelled{a=\"2\",b=\"\"} 1e2\nrubbish\nx{ 1\n";
        let sample = sample(text, Instant::now());
        assert_eq!(sample.sum("plain", &[]), 3.0);
        assert_eq!(sample.sum("labelled", &[("a", "1")]), 2.5);
        assert_eq!(sample.sum("labelled", &[]), 102.5);
        assert_eq!(sample.values("labelled", "b", &[("a", "1")]), ["say \"hi\", \\"]);
        assert_eq!(sample.sum("absent", &[]), 0.0);
    }

    #[test]
    fn rates_and_quantiles_are_of_what_happened_between() {
        let start = Instant::now();
        let histogram = |counts: [u32; 4]| {
            let [a, b, c, all] = counts;
            format!(
                "n {all}\nt_bucket{{le=\"0.1\"}} {a}\nt_bucket{{le=\"0.2\"}} {b}\nt_bucket{{le=\"1\"}} {c}\nt_bucket{{le=\"+Inf\"}} {all}\n"
            )
        };
        let before = sample(&histogram([100, 100, 100, 100]), start);
        let now = sample(&histogram([100, 150, 198, 200]), start + Duration::from_secs(10));
        let between = Between { before: &before, now: &now };
        assert!((between.rate("n", &[]) - 10.0).abs() < 1e-9);
        assert!((between.quantile(0.5, "t", &[]).unwrap() - 0.2).abs() < 1e-9);
        assert!((between.quantile(0.25, "t", &[]).unwrap() - 0.15).abs() < 1e-9);
        assert_eq!(between.quantile(0.99, "t", &[]).unwrap(), 1.0, "beyond the last bound it is the last bound");
        let idle = Between { before: &now, now: &now };
        assert_eq!(idle.quantile(0.5, "t", &[]), None);
        let restarted = Between { before: &now, now: &before };
        assert!(restarted.rate("n", &[]) > 0.0);
    }
}
