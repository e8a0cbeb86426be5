//! What must compile compiles, and what must not says why and how to repair it.
//!
//! Where an error is the compiler's, its text is that of rustc 1.95; `TRYBUILD=overwrite` writes the
//! texts of another one. The errors of the macro itself are the same everywhere.

/// Catalogue 62.
#[test]
fn ui() {
    let cases = trybuild::TestCases::new();
    cases.pass("ui/pass/*.rs");
    cases.compile_fail("ui/fail/*/*.rs");
}
