//! Unix sockets: bind, probe, peer check, unlink. Nobody else does.
