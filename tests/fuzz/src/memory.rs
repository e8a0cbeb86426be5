use allocation_counter::measure;

/// In bytes: what any call may allocate, whatever it is given.
pub(crate) const SLACK: usize = 64 * 1024;

/// Runs it. It must not have allocated more than this at any one time.
pub(crate) fn within<T>(limit: usize, what: &str, run: impl FnOnce() -> T) -> T {
    let mut output = None;
    let taken = measure(|| output = Some(run())).bytes_max;
    assert!(taken <= limit as u64, "{what} took {taken} bytes, and may take {limit}");
    output.expect("it has run")
}
