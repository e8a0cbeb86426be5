//! What a missing feature looks like to who needs it: a compile error that names it.
//!
//! Whatever belongs to a feature exists without it too, but asks that `()` has it.

/// Implemented for `()` where the feature `json` is enabled.
#[diagnostic::on_unimplemented(
    message = "the codec `json` needs the feature `json` of `redis-cached`",
    label = "enable it in Cargo.toml: `redis-cached = {{ version = \"…\", features = [\"json\"] }}`"
)]
pub trait Json {}

#[cfg(feature = "json")]
impl Json for () {}

/// Implemented for `()` where the feature `postcard` is enabled.
#[diagnostic::on_unimplemented(
    message = "the codec `postcard` needs the feature `postcard` of `redis-cached`",
    label = "enable it in Cargo.toml: `redis-cached = {{ version = \"…\", features = [\"postcard\"] }}`"
)]
pub trait Postcard {}

#[cfg(feature = "postcard")]
impl Postcard for () {}

/// Implemented for `()` where the feature `lz4` is enabled.
#[diagnostic::on_unimplemented(
    message = "`compress = lz4` needs the feature `lz4` of `redis-cached`",
    label = "enable it in Cargo.toml: `redis-cached = {{ version = \"…\", features = [\"lz4\"] }}`"
)]
pub trait Lz4 {}

#[cfg(feature = "lz4")]
impl Lz4 for () {}

/// Implemented for `()` where the feature `zstd` is enabled.
#[diagnostic::on_unimplemented(
    message = "`compress = zstd` needs the feature `zstd` of `redis-cached`",
    label = "enable it in Cargo.toml: `redis-cached = {{ version = \"…\", features = [\"zstd\"] }}`"
)]
pub trait Zstd {}

#[cfg(feature = "zstd")]
impl Zstd for () {}
