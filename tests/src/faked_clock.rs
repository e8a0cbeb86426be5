use std::path::PathBuf;

/// What a process needs in its environment to see a clock that is off by this, as `"+3600s"`.
///
/// # Panics
///
/// When there is no libfaketime.
#[must_use]
pub fn faked_clock(off: &str) -> [(&'static str, String); 3] {
    [
        ("LD_PRELOAD", library().display().to_string()),
        ("FAKETIME", off.to_owned()),
        // Time goes on as it does, and only its beginning is another.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ]
}

/// Of Debian's package `libfaketime`.
fn library() -> PathBuf {
    let found = std::fs::read_dir("/usr/lib").expect("this is Linux").find_map(|place| {
        let library = place.ok()?.path().join("faketime/libfaketimeMT.so.1");
        library.exists().then_some(library)
    });
    found.expect("there is no libfaketime: apt-get install libfaketime")
}
