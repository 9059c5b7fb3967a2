//! Sources, importers, generators and replays of journals
