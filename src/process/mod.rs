//! Children: the only room that signals a process.
