//! Families of metrics as `OpenMetrics` text, written by the library that Prometheus gives.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

/// What the text is called in HTTP.
pub const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A metric under each set of its labels. Unit and `_total` are put behind the name.
#[derive(Debug)]
pub struct Family {
    pub name: &'static str,
    pub help: &'static str,
    pub unit: Option<Unit>,
    pub samples: Vec<(Vec<(&'static str, String)>, Value)>,
}

/// One value.
#[derive(Debug)]
pub enum Value {
    Counter(u64),
    Gauge(f64),
    Histogram {
        sum: f64,
        count: u64,
        /// Upper bounds, with the count of each bucket alone; the last one has none.
        buckets: Vec<(f64, u64)>,
    },
}

#[derive(Debug)]
struct Families(Vec<Family>);

/// All of them.
#[must_use]
pub fn written(families: Vec<Family>) -> String {
    let mut registry = Registry::with_prefix("transom");
    registry.register_collector(Box::new(Families(families)));
    let mut out = String::new();
    text::encode(&mut out, &registry).expect("a String takes everything");
    out
}

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for Family { name, help, unit, samples } in &self.0 {
            let Some((_, first)) = samples.first() else { continue };
            let mut metric = encoder.encode_descriptor(name, help, unit.as_ref(), first.kind())?;
            for (labels, value) in samples {
                match &labels[..] {
                    [] => value.encode(&mut metric)?,
                    labels => value.encode(&mut metric.encode_family(&labels)?)?,
                }
            }
        }
        Ok(())
    }
}

impl Value {
    fn kind(&self) -> MetricType {
        match self {
            Value::Counter(_) => MetricType::Counter,
            Value::Gauge(_) => MetricType::Gauge,
            Value::Histogram { .. } => MetricType::Histogram,
        }
    }

    fn encode(&self, metric: &mut MetricEncoder<'_>) -> Result<(), fmt::Error> {
        match self {
            Value::Counter(count) => metric.encode_counter::<NoLabelSet, _, f64>(count, None),
            Value::Gauge(value) => metric.encode_gauge(value),
            Value::Histogram { sum, count, buckets } => metric.encode_histogram::<NoLabelSet>(*sum, *count, buckets, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_has_one_head_and_a_line_for_each_set_of_labels() {
        let family = |name, unit, samples| Family { name, help: "What it is", unit, samples };
        let named = |name: &str, count| (vec![("rule", name.to_owned())], Value::Counter(count));
        let histogram = Value::Histogram { sum: 1.5, count: 3, buckets: vec![(0.5, 2), (f64::INFINITY, 1)] };
        let text = written(vec![
            family("rules", None, vec![named("a \"b\"\n\\", 1), named("c", 2)]),
            family("none", None, Vec::new()),
            family("time", Some(Unit::Seconds), vec![(Vec::new(), histogram)]),
        ]);
        let expected = r#"# HELP transom_rules What it is
# TYPE transom_rules counter
transom_rules_total{rule="a \"b\"\n\\"} 1
transom_rules_total{rule="c"} 2
# HELP transom_time_seconds What it is
# TYPE transom_time_seconds histogram
# UNIT transom_time_seconds seconds
transom_time_seconds_sum 1.5
transom_time_seconds_count 3
transom_time_seconds_bucket{le="0.5"} 2
transom_time_seconds_bucket{le="+Inf"} 3
# EOF
"#;
        assert_eq!(text, expected);
    }
}
