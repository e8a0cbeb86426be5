//! A recorder for one test.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, LocalRecorderGuard,
    Metadata, Recorder, SharedString, Unit,
};

use crate::names;

/// What is counted on this thread while it lives.
pub(crate) struct Heard {
    recorder: &'static Ear,
    _guard: LocalRecorderGuard<'static>,
}

/// A name, and labels with their values.
pub(crate) type Series = (String, Vec<(String, String)>);

#[derive(Default)]
struct Ear {
    described: Mutex<BTreeMap<String, (&'static str, &'static str)>>,
    series: Mutex<BTreeMap<Series, Arc<Values>>>,
}

/// Of a histogram all, of others the last one.
#[derive(Default)]
struct Values(Mutex<Vec<f64>>);

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Heard {
    pub(crate) fn listen() -> Self {
        // A handle may outlive its test.
        let recorder: &'static Ear = Box::leak(Box::default());
        Self { recorder, _guard: metrics::set_default_local_recorder(recorder) }
    }

    pub(crate) fn described(&self) -> BTreeMap<String, (&'static str, &'static str)> {
        locked(&self.recorder.described).clone()
    }

    pub(crate) fn series(&self) -> Vec<Series> {
        locked(&self.recorder.series).keys().cloned().collect()
    }

    /// The values of all series of this name that have these labels.
    pub(crate) fn values(&self, name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
        let name = format!("redis_cached.{name}");
        let series = locked(&self.recorder.series);
        let has = |series: &Series| {
            series.0 == name
                && labels.iter().all(|(label, value)| {
                    series.1.iter().any(|(known, is)| known == label && is == value)
                })
        };
        let found = series.iter().filter(|(series, _)| has(series));
        found.flat_map(|(_, values)| locked(&values.0).clone()).collect()
    }

    /// Of counters and gauges.
    #[expect(clippy::cast_possible_truncation, reason = "all are whole")]
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> i64 {
        self.values(name, labels).iter().sum::<f64>() as i64
    }

    /// How many series of this name are there, moved or not.
    pub(crate) fn registered(&self, name: &str) -> usize {
        let name = format!("redis_cached.{name}");
        self.series().iter().filter(|(known, _)| *known == name).count()
    }

    /// Asserts what a counter says, or how many values a histogram has, for each word of a label. Those that are not named
    /// have none.
    #[track_caller]
    pub(crate) fn counts(&self, name: &str, label: &str, expected: &[(&str, usize)]) {
        let mut counted = BTreeMap::new();
        let full = format!("redis_cached.{name}");
        let is_histogram =
            names::PINNED.iter().any(|(pinned, kind, ..)| *pinned == full && *kind == "histogram");
        for (_, labels) in self.series().into_iter().filter(|(known, _)| *known == full) {
            let word = &labels.iter().find(|(known, _)| known == label).expect("it has it").1;
            let values = self.values(name, &[(label, word)]);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
            let sum = values.iter().sum::<f64>() as usize;
            counted.insert(word.clone(), if is_histogram { values.len() } else { sum });
        }
        counted.retain(|_, count| *count > 0);
        let expected: BTreeMap<String, usize> =
            expected.iter().map(|(word, count)| ((*word).to_owned(), *count)).collect();
        assert_eq!(counted, expected, "{name}");
    }
}

impl Drop for Heard {
    /// Whatever a test is about, it hears of nothing that has no name.
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        for (name, labels) in self.series() {
            let labels: Vec<&str> = labels.iter().map(|(label, _)| &**label).collect();
            names::must_be_pinned(&name, &labels);
        }
    }
}

impl Ear {
    fn values(&self, key: &Key) -> Arc<Values> {
        let text = |text: &str| text.to_owned();
        let labels = key.labels().map(|label| (text(label.key()), text(label.value()))).collect();
        let series = (text(key.name()), labels);
        Arc::clone(locked(&self.series).entry(series).or_default())
    }

    fn describe(&self, name: &KeyName, kind: &'static str, unit: Option<Unit>) {
        let unit = unit.map_or("", |unit| unit.as_canonical_label());
        locked(&self.described).insert(name.as_str().to_owned(), (kind, unit));
    }
}

impl Recorder for Ear {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(&name, "counter", unit);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(&name, "gauge", unit);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(&name, "histogram", unit);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.values(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.values(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.values(key))
    }
}

impl Values {
    fn change(&self, change: impl FnOnce(f64) -> f64) {
        let mut values = locked(&self.0);
        let last = values.pop().unwrap_or_default();
        values.push(change(last));
    }
}

impl CounterFn for Values {
    #[expect(clippy::cast_precision_loss, reason = "far below what would be lost")]
    fn increment(&self, value: u64) {
        self.change(|last| last + value as f64);
    }

    fn absolute(&self, _: u64) {
        panic!("nothing is counted like this");
    }
}

impl GaugeFn for Values {
    fn increment(&self, value: f64) {
        self.change(|last| last + value);
    }

    fn decrement(&self, value: f64) {
        self.change(|last| last - value);
    }

    fn set(&self, _: f64) {
        panic!("there may be several caches, and each would set what is of all");
    }
}

impl HistogramFn for Values {
    fn record(&self, value: f64) {
        locked(&self.0).push(value);
    }
}
