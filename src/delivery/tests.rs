//! The pure machines together.

mod simulation;
