//! The side-effect JSON and its routing.
