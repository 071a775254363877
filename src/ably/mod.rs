//! The Ably client as a pure state machine.
