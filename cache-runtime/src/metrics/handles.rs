//! Handles of metrics, each made when it is first used and then kept: to find one by its labels costs more than a hit.

use std::marker::PhantomData;
use std::sync::OnceLock;

use ::metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, with_recorder};

use super::table::Metric;

/// What a metric is kept by.
pub(super) trait Handle {
    fn register(key: &Key) -> Self;
}

static METADATA: Metadata<'static> =
    Metadata::new("redis_cached", Level::INFO, Some(module_path!()));

impl Handle for Counter {
    fn register(key: &Key) -> Self {
        with_recorder(|recorder| recorder.register_counter(key, &METADATA))
    }
}

impl Handle for Gauge {
    fn register(key: &Key) -> Self {
        with_recorder(|recorder| recorder.register_gauge(key, &METADATA))
    }
}

impl Handle for Histogram {
    fn register(key: &Key) -> Self {
        with_recorder(|recorder| recorder.register_histogram(key, &METADATA))
    }
}

impl Metric {
    /// `whose` are the values of the first labels, `words` those of the rest.
    pub(super) fn handle<H: Handle>(&self, whose: &impl Whose, words: &[&'static str]) -> H {
        let mut labels = whose.labels();
        let rest = self.labels.get(labels.len()..).unwrap_or_default();
        debug_assert_eq!(rest.len(), words.len(), "{}", self.name);
        labels.extend(rest.iter().zip(words).map(|(key, word)| Label::new(*key, *word)));
        H::register(&Key::from_parts(self.name, labels))
    }
}

/// Whose a metric is: a function's, or a server's.
pub(super) trait Whose {
    fn labels(&self) -> Vec<Label>;
}

/// That of the whole process.
impl Whose for () {
    fn labels(&self) -> Vec<Label> {
        Vec::new()
    }
}

/// One of a few words, or of a few combinations.
pub(super) trait Words: Copy {
    const COUNT: usize;
    fn index(self) -> usize;
    fn texts(self) -> Vec<&'static str>;
}

/// No word at all.
impl Words for () {
    const COUNT: usize = 1;

    fn index(self) -> usize {
        0
    }

    fn texts(self) -> Vec<&'static str> {
        Vec::new()
    }
}

/// The handles of one metric of one function or server, one for each word.
pub(super) struct Family<H, W>(Box<[OnceLock<H>]>, PhantomData<W>);

impl<H, W: Words> Default for Family<H, W> {
    fn default() -> Self {
        Self((0..W::COUNT).map(|_| OnceLock::new()).collect(), PhantomData)
    }
}

impl<H: Handle, W: Words> Family<H, W> {
    pub(super) fn of(&self, metric: &Metric, whose: &impl Whose, word: W) -> &H {
        self.0[word.index()].get_or_init(|| metric.handle(whose, &word.texts()))
    }
}
