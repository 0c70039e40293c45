//! [`NetworkSize`]: how many nodes serve the table, roughly. SPEC §11.7.
//!
//! *Purpose*: know how large a region is, without letting a swarm near one place decide it.
//! *Inputs*: how near the nodes were that answered lookups of random points. *Outputs*: the
//! number of leading bits that the places of a region share. *Not handled*: exactness.

use std::collections::VecDeque;

use pinhole_proto::dht::{Distance, Position};

/// Samples that are remembered.
const SAMPLES: usize = 3;

/// Estimates from several lookups. See the module's notes.
#[derive(Clone, Debug, Default)]
pub struct NetworkSize {
    samples: VecDeque<f64>,
    own: f64,
}

impl NetworkSize {
    /// The nodes that answered a lookup of a point drawn at random, of which the nearest `count`
    /// are known to be all that there are.
    pub fn handle_lookup(
        &mut self,
        point: &Position,
        answered: impl Iterator<Item = Position>,
        count: usize,
    ) {
        let mut distances: Vec<Distance> = answered.map(|at| at.distance(point)).collect();
        distances.sort_unstable();
        let Some(nodes) = estimate(&distances, count) else { return };
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(nodes);
    }

    /// What our own surroundings say; used until there are samples of random points.
    pub fn handle_own(
        &mut self,
        us: &Position,
        answered: impl Iterator<Item = Position>,
        count: usize,
    ) {
        let mut distances: Vec<Distance> = answered.map(|at| at.distance(us)).collect();
        distances.sort_unstable();
        if let Some(nodes) = estimate(&distances, count) {
            self.own = nodes;
        }
    }

    /// The number of nodes: the median of the samples, the lower one of two. A swarm can make a
    /// network look larger than it is, and hardly smaller.
    #[must_use]
    pub fn nodes(&self) -> f64 {
        let mut sorted: Vec<f64> = self.samples.iter().copied().collect();
        sorted.sort_unstable_by(f64::total_cmp);
        match sorted.len() {
            0 => self.own,
            len => sorted[(len - 1) / 2],
        }
    }

    /// How many leading bits the places of a region share that holds about `nodes` nodes.
    #[must_use]
    pub fn region_bits(&self, nodes: usize) -> u16 {
        let ratio = self.nodes() / nodes.max(1) as f64;
        if ratio <= 1.0 { 0 } else { (ratio.log2() as u16).min(64) }
    }

    /// The number of nodes that a region of so many bits is expected to hold.
    #[must_use]
    pub fn in_region(&self, bits: u16) -> usize {
        (self.nodes() / 2_f64.powi(i32::from(bits))) as usize
    }
}

/// The number of nodes whose `count`-th nearest, or last, lies at this distance.
fn estimate(distances: &[Distance], count: usize) -> Option<f64> {
    let last = count.min(distances.len()).checked_sub(1)?;
    let reach = distances.get(last)?.fraction();
    (reach > 0.0).then(|| last as f64 / reach)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinhole_proto::rng::Rng;

    #[test]
    fn the_estimate_is_right_within_a_third() {
        let mut rng = Rng::from_seed(1);
        let nodes: Vec<Position> = (0..3000).map(|_| rng.position()).collect();
        let mut size = NetworkSize::default();
        assert_eq!(size.region_bits(24), 0);
        for _ in 0..9 {
            let point = rng.position();
            size.handle_lookup(&point, nodes.iter().copied(), 20);
        }
        assert!((2000.0..4000.0).contains(&size.nodes()), "{}", size.nodes());
        assert_eq!(size.region_bits(24), 6);
        assert!((24..48).contains(&size.in_region(6)));
    }

    #[test]
    fn a_swarm_around_a_few_points_does_not_move_it() {
        let mut rng = Rng::from_seed(2);
        let nodes: Vec<Position> = (0..1000).map(|_| rng.position()).collect();
        let mut size = NetworkSize::default();
        for lookup in 0..9 {
            let point = rng.position();
            let swarm = (lookup < 4).then_some(point.with_bit(200, !point.bit(200)));
            let swarm = std::iter::repeat_n(swarm, 20).flatten();
            size.handle_lookup(&point, nodes.iter().copied().chain(swarm), 20);
        }
        assert!((600.0..1600.0).contains(&size.nodes()), "{}", size.nodes());
    }

    #[test]
    fn nothing_and_nonsense_give_no_region() {
        let mut size = NetworkSize::default();
        size.handle_lookup(&Position([0; 32]), std::iter::empty(), 20);
        size.handle_lookup(&Position([0; 32]), std::iter::once(Position([0; 32])), 20);
        assert_eq!(size.region_bits(24), 0);
        let near = Position([0; 32]).with_bit(255, true);
        size.handle_lookup(&Position([0; 32]), std::iter::repeat_n(near, 20), 20);
        assert!(size.region_bits(24) <= 64);
    }
}
