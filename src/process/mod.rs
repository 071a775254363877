//! Child processes: spawned, watched, stopped; and what a child of ours is given.

pub mod inherited;
