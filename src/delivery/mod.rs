//! Delivery: which effect may go out, and when.
