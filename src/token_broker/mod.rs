//! The token broker: credentials in, short-lived scoped tokens out.
