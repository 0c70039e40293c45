//! [`Path`]: the candidates of one path, by their distance to its point.

use pinhole_proto::PeerId;
use pinhole_proto::dht::{Distance, Position};

/// One path of a lookup.
#[derive(Clone, Debug)]
pub(super) struct Path {
    point: Position,
    list: Vec<(Distance, PeerId)>,
    most: usize,
}

impl Path {
    /// A path that remembers `most` candidates.
    pub(super) const fn new(point: Position, most: usize) -> Self {
        Self { point, list: Vec::new(), most }
    }

    pub(super) const fn point(&self) -> Position {
        self.point
    }

    /// The candidates, the nearest first.
    pub(super) fn peers(&self) -> impl Iterator<Item = &PeerId> {
        self.list.iter().map(|(_, peer)| peer)
    }

    pub(super) fn contains(&self, peer: &PeerId) -> bool {
        self.list.iter().any(|(_, known)| known == peer)
    }

    pub(super) fn insert(&mut self, peer: PeerId, position: &Position) {
        let element = (self.point.distance(position), peer);
        if let Err(at) = self.list.binary_search(&element) {
            self.list.insert(at, element);
        }
    }

    /// Keeps the nearest, as many as it may, and returns the others.
    pub(super) fn trim(&mut self) -> Vec<PeerId> {
        let end = self.list.len().min(self.most);
        self.list.drain(end..).map(|(_, peer)| peer).collect()
    }
}
