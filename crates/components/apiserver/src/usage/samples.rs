//! What a kubelet tells at `/metrics/resource`, and the rates between two such answers.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

/// Namespace, pod, container.
pub(super) type ContainerKey = (String, String, String);

/// One reading of processor time and memory.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sample {
    /// Seconds of processor time used so far.
    cpu_seconds: Option<f64>,
    /// The working set.
    memory_bytes: Option<f64>,
    /// When it was read.
    at: Option<Timestamp>,
    /// When the container was started, in seconds since 1970.
    started: Option<f64>,
}

/// One answer of a kubelet.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Answer {
    pub(super) node: Sample,
    pub(super) containers: HashMap<ContainerKey, Sample>,
}

/// What something uses now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Usage {
    /// Billionths of a processor.
    pub(super) cpu_nanocores: u64,
    /// The working set.
    pub(super) memory_bytes: u64,
    /// When memory was looked at.
    pub(super) at: Timestamp,
    /// The time over which the processor's use was averaged.
    pub(super) window: SignedDuration,
}

/// A container that started so shortly before is measured from its start.
const YOUNGEST: SignedDuration = SignedDuration::from_millis(500);

impl Answer {
    /// Reads Prometheus' text format; what is not known is skipped.
    pub(super) fn parse(text: &str) -> Self {
        let mut answer = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, labels, rest)) = split(line) else { continue };
            let mut words = rest.split_whitespace();
            let Some(Ok(value)) = words.next().map(str::parse::<f64>) else { continue };
            let at = words.next().and_then(|word| Timestamp::from_millisecond(word.parse().ok()?).ok());
            let sample = match name.split_once('_') {
                Some(("node", _)) => &mut answer.node,
                Some(("container", _)) => {
                    let of = |key: &str| labels.iter().find(|(name, _)| *name == key).map(|(_, value)| value.clone());
                    let (Some(namespace), Some(pod), Some(container)) = (of("namespace"), of("pod"), of("container"))
                    else {
                        continue;
                    };
                    answer.containers.entry((namespace, pod, container)).or_default()
                }
                _ => continue,
            };
            match name {
                "node_cpu_usage_seconds_total" | "container_cpu_usage_seconds_total" => {
                    sample.cpu_seconds = Some(value)
                }
                "node_memory_working_set_bytes" | "container_memory_working_set_bytes" => {
                    sample.memory_bytes = Some(value);
                }
                "container_start_time_seconds" => sample.started = Some(value),
                _ => continue,
            }
            sample.at = at.or(sample.at);
        }
        answer
    }

    /// Readings whose kubelet gave no time are of now.
    pub(super) fn dated(mut self, now: Timestamp) -> Self {
        self.node.at.get_or_insert(now);
        for sample in self.containers.values_mut() {
            sample.at.get_or_insert(now);
        }
        self
    }
}

/// Name, labels and the rest of a line.
type Line<'a> = (&'a str, Vec<(&'a str, String)>, &'a str);

fn split(line: &str) -> Option<Line<'_>> {
    let Some(open) = line.find('{') else {
        let (name, rest) = line.split_once(' ')?;
        return Some((name, Vec::new(), rest));
    };
    let name = &line[..open];
    let mut labels = Vec::new();
    let mut rest = &line[open + 1..];
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(after) = rest.strip_prefix('}') {
            return Some((name, labels, after));
        }
        let (key, quoted) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        let end = loop {
            match characters.next()? {
                (_, '\\') => value.push(match characters.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (end, '"') => break end,
                (_, other) => value.push(other),
            }
        };
        labels.push((key, value));
        rest = &quoted[end + 1..];
    }
}

/// What is used, by a reading and the one before.
pub(super) fn usage(now: &Sample, before: Option<&Sample>) -> Option<Usage> {
    let (cpu, memory, at) = (now.cpu_seconds?, now.memory_bytes?, now.at?);
    let same = before.filter(|before| before.started == now.started);
    let (since, spent) = match same.and_then(|before| Some((before.at?, before.cpu_seconds?))) {
        Some((since, earlier)) => (since, cpu - earlier),
        None => {
            let milliseconds = (now.started? * 1e3) as i64;
            let started = Timestamp::from_millisecond(milliseconds).ok()?;
            if at.duration_since(started) < YOUNGEST {
                return None;
            }
            (started, cpu)
        }
    };
    let window = at.duration_since(since);
    // Counters that went back, and readings of the same moment, say nothing.
    if window <= SignedDuration::ZERO || spent < 0.0 {
        return None;
    }
    let cpu_nanocores = (spent / window.as_secs_f64() * 1e9) as u64;
    Some(Usage { cpu_nanocores, memory_bytes: memory as u64, at, window })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP node_cpu_usage_seconds_total [STABLE] Cumulative\n\
        # TYPE node_cpu_usage_seconds_total counter\n\
        node_cpu_usage_seconds_total 10 1700000010000\nnode_memory_working_set_bytes 4096 1700000010000\n\
        container_cpu_usage_seconds_total{container=\"a\\\"b\",namespace=\"n\",pod=\"p\"} 1.5 1700000010000\n\
        container_memory_working_set_bytes{container=\"a\\\"b\",namespace=\"n\",pod=\"p\"} 1e+06 1700000010000\n\
        container_start_time_seconds{container=\"a\\\"b\",namespace=\"n\",pod=\"p\"} 1.700000005e+09\n\
        pod_cpu_usage_seconds_total{namespace=\"n\",pod=\"p\"} 2\nbroken{a=\"\n{}\n\n";

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    #[test]
    fn answers_are_read() {
        let answer = Answer::parse(TEXT);
        let expected = Sample { cpu_seconds: Some(10.0), memory_bytes: Some(4096.0), at: Some(at(10)), started: None };
        assert_eq!(answer.node, expected);
        let key = ("n".to_owned(), "p".to_owned(), "a\"b".to_owned());
        let container = answer.containers[&key];
        assert_eq!(container.cpu_seconds, Some(1.5));
        // A container without an earlier reading is measured from its start.
        let used = usage(&container, None).unwrap();
        assert_eq!((used.cpu_nanocores, used.memory_bytes, used.window.as_secs()), (300_000_000, 1_000_000, 5));
    }

    #[test]
    fn rates() {
        let sample = |cpu: f64, second: i64, started: Option<f64>| Sample {
            cpu_seconds: Some(cpu),
            memory_bytes: Some(1.0),
            at: Some(at(second)),
            started,
        };
        let cores = |now: Sample, before: Option<Sample>| {
            usage(&now, before.as_ref()).map(|used| used.cpu_nanocores as f64 / 1e9)
        };
        let begun = Some(1_700_000_000.0);
        for (now, before, expected) in [
            (sample(12.0, 10, None), Some(sample(10.0, 0, None)), Some(0.2)),
            (sample(12.0, 10, begun), Some(sample(10.0, 8, begun)), Some(1.0)),
            // Started again since: from its start.
            (sample(2.0, 10, begun), Some(sample(90.0, 8, Some(5.0))), Some(0.2)),
            // Nothing to compare with.
            (sample(12.0, 10, None), None, None),
            (sample(0.1, 0, begun), None, None),
            // Gone back, or the same reading.
            (sample(9.0, 10, None), Some(sample(10.0, 0, None)), None),
            (sample(9.0, 10, None), Some(sample(9.0, 10, None)), None),
        ] {
            assert_eq!(cores(now, before), expected, "{now:?} {before:?}");
        }
    }
}
