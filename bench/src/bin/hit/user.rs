//! What is cached: a user, of about so many bytes.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct User {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) active: bool,
    pub(crate) roles: Vec<String>,
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) note: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    Small,
    Medium,
    Large,
}

impl Size {
    pub(crate) const ALL: [Self; 3] = [Self::Small, Self::Medium, Self::Large];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Small => "100B",
            Self::Medium => "1KiB",
            Self::Large => "32KiB",
        }
    }
}

impl User {
    /// The medium and the large one differ in nothing but their note.
    pub(crate) fn new(id: u64, size: Size) -> Self {
        let (roles, attributes, note) = match size {
            Size::Small => (1, 0, 24),
            Size::Medium => (5, 10, 512),
            Size::Large => (5, 10, 32_256),
        };
        Self {
            id,
            name: format!("user number {id}"),
            email: format!("user.{id}@example.org"),
            active: id.is_multiple_of(2),
            roles: (0..roles).map(|role| format!("role {role} of {id}")).collect(),
            attributes: (0..attributes)
                .map(|at| (format!("attribute {at}"), format!("value {at} of {id}")))
                .collect(),
            note: "n".repeat(note),
        }
    }
}
