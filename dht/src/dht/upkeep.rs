//! Upkeep: joining, publishing again, and checking one node at a time. SPEC §11.8.

use std::time::{Duration, Instant};

use pinhole_proto::dht::{Contact, Position};
use pinhole_proto::record::Body;

use super::operation::Goal;
use super::surface::Role;
use super::{Dht, DhtError};
use crate::config::Config;
use crate::table::Check;

/// A publication that could not start is tried again after this time.
const AGAIN: Duration = Duration::from_secs(30);
/// How often expired records are forgotten.
const EXPIRY: Duration = Duration::from_secs(300);

/// So many times a region's nodes come up before we publish ahead of time.
const NEWCOMERS: usize = 3;
/// The first interval of what is repeated, while fewer than k nodes are known.
const FIRST_ALONE: Duration = Duration::from_secs(15);
/// After many newcomers, records of ours are published no sooner than this after the last time.
const SETTLE: Duration = Duration::from_secs(1800);

/// When the next step of each kind is due.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Upkeep {
    joined: bool,
    refresh: Option<Instant>,
    refresh_pace: Duration,
    check: Option<Instant>,
    check_pace: Duration,
    expire: Option<Instant>,
    /// Nodes of our region that came or were reached for the first time since we published.
    newcomers: usize,
}

/// A record of ours that is published again and again.
#[derive(Clone, Debug)]
pub(super) struct Publication {
    pub(super) body: Body,
    pub(super) sequence: u64,
    pub(super) life: Duration,
    next: Instant,
    pace: Duration,
    last: Option<Instant>,
}

impl Publication {
    pub(super) const fn new(body: Body, sequence: u64, life: Duration, next: Instant) -> Self {
        let pace = Duration::ZERO;
        Self { body, sequence, life, next, pace, last: None }
    }
}

impl Dht {
    /// The first node was reached: look around, then publish.
    pub(super) fn join(&mut self, now: Instant) {
        if self.upkeep.joined {
            return;
        }
        self.upkeep.check = Some(now + self.config.check_thin);
        self.upkeep.check_pace = self.config.check;
        self.upkeep.expire = Some(now + EXPIRY);
        let us = self.table.us();
        if self.start(now, Goal::Join, us).is_err() {
            self.upkeep.refresh = Some(now + FIRST_ALONE);
        }
    }

    /// The nodes around us are known.
    pub(super) fn joined(&mut self, now: Instant, answered: usize) {
        let first = !self.upkeep.joined;
        self.upkeep.joined = true;
        if first {
            let alone = answered < self.config.k;
            self.upkeep.refresh_pace = if alone { FIRST_ALONE } else { self.config.refresh / 8 };
            self.upkeep.refresh = Some(now + self.rng.around(self.upkeep.refresh_pace));
            self.upkeep.check_pace = self.config.check;
            self.keep_up(now);
            self.drive(now);
        }
    }

    pub(super) fn next_upkeep(&self) -> impl Iterator<Item = Instant> {
        let Upkeep { joined, refresh, check, expire, .. } = self.upkeep;
        let publications = self.publications.values().map(|publication| publication.next);
        let due = publications.filter(move |_| joined);
        due.chain([refresh, check, expire].into_iter().flatten())
    }

    pub(super) fn keep_up(&mut self, now: Instant) {
        self.refresh(now);
        self.publish_due(now);
        self.check(now);
        if self.upkeep.expire.is_some_and(|at| at <= now) {
            self.upkeep.expire = Some(now + EXPIRY);
            self.store.expire(self.unix(now));
        }
    }

    /// A node was heard for the first time. If there are many in our region, what we published
    /// has to reach them.
    pub(super) fn newcomer(&mut self, now: Instant, contact: &Contact) {
        let bits = self.size.region_bits(self.config.region);
        let us = self.table.us();
        if Position::of_peer(&contact.peer).common_bits(&us) < bits {
            return;
        }
        self.upkeep.newcomers += 1;
        if self.upkeep.newcomers < self.config.region * NEWCOMERS {
            return;
        }
        self.upkeep.newcomers = 0;
        for publication in self.publications.values_mut() {
            let settled = publication.last.map_or(now, |last| last + SETTLE);
            publication.next = publication.next.min(settled.max(now));
        }
    }

    fn refresh(&mut self, now: Instant) {
        if self.upkeep.refresh.is_none_or(|at| at > now) {
            return;
        }
        let (goal, point) = match self.upkeep.joined {
            true => (Goal::Refresh, self.rng.position()),
            false => (Goal::Join, self.table.us()),
        };
        let started = self.start_upkeep(now, goal, point).is_ok();
        let pace = if started { self.upkeep.refresh_pace.max(FIRST_ALONE) } else { AGAIN };
        self.upkeep.refresh_pace = (pace * 2).min(self.config.refresh);
        self.upkeep.refresh = Some(now + self.rng.around(pace));
    }

    fn publish_due(&mut self, now: Instant) {
        if !self.upkeep.joined {
            return;
        }
        let due = |(place, publication): (&Position, &Publication)| {
            (publication.next <= now).then_some(*place)
        };
        let due: Vec<Position> = self.publications.iter().filter_map(due).collect();
        for place in due {
            // Put off before it begins: what follows from beginning may look for what is due.
            self.put_off(now, &place, AGAIN);
            if self.publish_one(now, &place).is_ok() {
                self.put_off(now, &place, self.config.republish);
            }
        }
    }

    fn put_off(&mut self, now: Instant, place: &Position, time: Duration) {
        let next = now + self.rng.around(time);
        if let Some(publication) = self.publications.get_mut(place) {
            publication.next = next;
        }
    }

    fn publish_one(&mut self, now: Instant, place: &Position) -> Result<(), DhtError> {
        let Some(publication) = self.publications.get(place) else { return Ok(()) };
        let record = self.sign(now, publication)?;
        self.start_upkeep(now, Goal::Put(Box::new(record)), *place)
    }

    /// A record is being stored at so many nodes. It will be again, less and less often.
    pub(super) fn published(&mut self, now: Instant, place: &Position, holders: usize) {
        let most = self.config.republish;
        let Some(publication) = self.publications.get_mut(place) else { return };
        publication.pace = match publication.last {
            None if holders < self.config.k => FIRST_ALONE,
            None => most / 2,
            Some(_) => (publication.pace * 2).min(most),
        };
        publication.last = Some(now);
        let pace = publication.pace;
        self.put_off(now, place, pace);
        if *place == self.table.us() {
            self.upkeep.newcomers = 0;
        }
    }

    fn start_upkeep(&mut self, now: Instant, goal: Goal, at: Position) -> Result<(), DhtError> {
        // A quarter is left to the application.
        if self.operations.len() >= self.config.max_operations / 4 * 3 {
            return Err(DhtError::Busy);
        }
        self.start(now, goal, at).map(drop)
    }

    /// Contacts one node, if one is due: that keeps the table true.
    fn check(&mut self, now: Instant) {
        if self.upkeep.check.is_none_or(|at| at > now) {
            return;
        }
        let thin = self.table.is_thin(now);
        let asks = (thin || self.role == Role::Server) && self.has_capacity();
        let check = asks.then(|| self.table.next_check(now)).flatten();
        if let Some(check) = check {
            self.send_check(now, *check.contact(), true);
        }
        let next = match check {
            _ if thin => self.config.check_thin,
            // Who waits for a free place is missing in what we tell others.
            Some(Check::Spare(_)) => self.config.check,
            _ => self.upkeep.check_pace.max(self.config.check_thin),
        };
        self.upkeep.check = Some(now + self.rng.around(next));
    }

    /// A node that was checked answered, or did not: where all answer, less has to be checked.
    pub(super) fn checked(&mut self, answered: bool) {
        let Config { check, check_most, .. } = self.config;
        let pace = self.upkeep.check_pace;
        let pace = if answered { pace.mul_f64(1.3) } else { pace.mul_f64(0.6) };
        self.upkeep.check_pace = pace.clamp(check, check_most);
    }
}
