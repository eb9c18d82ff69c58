//! End-to-end tests: the real binary, real kubectl, an independent client, and as root real containers. All of it is in
//! `tests/it`.
