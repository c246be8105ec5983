//! The limits of the measured figures.

/// The limits of a row; none: not limited.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// Times `/bin/true`.
    pub ratio: Option<f64>,
    /// Times the Go helper.
    pub go: Option<f64>,
    pub milliseconds: Option<f64>,
    pub system_calls: Option<u64>,
    pub threads: Option<u64>,
    pub peak_kib: Option<u64>,
    /// Calls to AWS.
    pub calls: Option<usize>,
}

pub const WARM: Limits = Limits {
    ratio: Some(1.2),
    system_calls: Some(40),
    threads: Some(1),
    peak_kib: Some(4096),
    calls: Some(0),
    go: None,
    milliseconds: None,
};

pub const NONE: Limits = Limits {
    ratio: None,
    go: None,
    milliseconds: None,
    system_calls: None,
    threads: None,
    peak_kib: None,
    calls: None,
};
