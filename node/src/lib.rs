//! pinhole node.
