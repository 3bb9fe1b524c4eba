//! The words of gRPC: what becomes of a call (the code of `grpc-status`), and what an HTTP status
//! means for one (<https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md>).

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum GrpcCode {
    Cancelled = 1,
    Unknown,
    InvalidArgument,
    DeadlineExceeded,
    NotFound,
    AlreadyExists,
    PermissionDenied,
    ResourceExhausted,
    FailedPrecondition,
    Aborted,
    OutOfRange,
    Unimplemented,
    Internal,
    Unavailable,
    DataLoss,
    Unauthenticated,
}

impl GrpcCode {
    /// All but OK, by their names in the configuration.
    pub const ALL: [(&'static str, Self); 16] = [
        ("cancelled", Self::Cancelled),
        ("unknown", Self::Unknown),
        ("invalid_argument", Self::InvalidArgument),
        ("deadline_exceeded", Self::DeadlineExceeded),
        ("not_found", Self::NotFound),
        ("already_exists", Self::AlreadyExists),
        ("permission_denied", Self::PermissionDenied),
        ("resource_exhausted", Self::ResourceExhausted),
        ("failed_precondition", Self::FailedPrecondition),
        ("aborted", Self::Aborted),
        ("out_of_range", Self::OutOfRange),
        ("unimplemented", Self::Unimplemented),
        ("internal", Self::Internal),
        ("unavailable", Self::Unavailable),
        ("data_loss", Self::DataLoss),
        ("unauthenticated", Self::Unauthenticated),
    ];

    /// What a client makes of a reply that has this status and no word of gRPC.
    pub const fn of_http(status: u16) -> Self {
        match status {
            400 | 431 => Self::Internal,
            401 => Self::Unauthenticated,
            403 => Self::PermissionDenied,
            404 => Self::Unimplemented,
            408 | 429 | 502 | 503 | 504 => Self::Unavailable,
            413 => Self::ResourceExhausted,
            _ => Self::Unknown,
        }
    }
}

/// A set of codes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GrpcCodes(u32);

impl GrpcCodes {
    #[must_use]
    pub const fn with(self, code: GrpcCode) -> Self {
        Self(self.0 | 1 << code as u8)
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether it has the code with this number, in digits.
    pub fn contains(self, digits: &[u8]) -> bool {
        let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<u32>().ok());
        number.is_some_and(|number| number < 32 && self.0 & 1 << number != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_their_numbers() {
        for (index, (_, code)) in GrpcCode::ALL.into_iter().enumerate() {
            assert_eq!(code as usize, index + 1);
        }
        let codes = GrpcCodes::default().with(GrpcCode::Unavailable);
        for (digits, expected) in
            [("14", true), ("014", true), ("4", false), ("", false), ("abc", false), ("46", false)]
        {
            assert_eq!(codes.contains(digits.as_bytes()), expected, "{digits}");
        }
    }
}
