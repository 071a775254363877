//! Falco itself: the server behind `falco.sock`.
