//! Why what is stored under a key is not used.

/// Why an entry is not served, besides its age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rejection {
    /// No entry at all: it does not begin as one, or is shorter than a header.
    Magic,
    /// Cut off, or longer than there is.
    Length,
    Checksum,
    /// It is another key's.
    Key,
    /// Its parts are not as any entry has them.
    Layout,
    /// Its payload does not expand, or decode.
    Undecodable,
    /// Not written with this cache's secret.
    Unauthenticated,
    /// Of a format that this version does not know.
    Format,
    /// Of another function, type or version.
    Fingerprint,
    /// Written by a codec or a compression that this version does not know.
    Codec,
    /// Past its end, with which Redis should have removed it.
    Ended,
    /// One of its tags was invalidated.
    Tag,
    /// For this call, by its `max_age`.
    TooOld,
    /// `accept_if` says no.
    NotAccepted,
    /// `load` gives nothing.
    NotLoaded,
}

impl Rejection {
    /// In one word.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Magic => "magic",
            Self::Length => "length",
            Self::Checksum => "checksum",
            Self::Key => "key",
            Self::Layout => "layout",
            Self::Undecodable => "undecodable",
            Self::Unauthenticated => "unauthenticated",
            Self::Format => "format",
            Self::Fingerprint => "fingerprint",
            Self::Codec => "codec",
            Self::Ended => "ended",
            Self::Tag => "tag",
            Self::TooOld => "too_old",
            Self::NotAccepted => "not_accepted",
            Self::NotLoaded => "not_loaded",
        }
    }

    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Magic
            | Self::Length
            | Self::Checksum
            | Self::Key
            | Self::Layout
            | Self::Undecodable
            | Self::Unauthenticated => "damaged entry",
            Self::Format | Self::Fingerprint | Self::Codec => "entry of another function or type",
            Self::Ended => "past its end",
            Self::Tag => "invalidated by a tag",
            Self::TooOld => "too old for this call",
            Self::NotAccepted => "not accepted",
            Self::NotLoaded => "not loaded",
        }
    }
}
