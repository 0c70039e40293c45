//! [`Config`]: the numbers of the table, of lookups and of the record store. SPEC §11, §12.

use std::time::Duration;

use pinhole_proto::dht::MAX_CONTACTS;

/// Nodes that a bucket holds, that a reply names and that keep a record. SPEC §11.2.
pub const K: usize = MAX_CONTACTS;
/// Requests under way on each path of a lookup. SPEC §11.6.
pub const ALPHA: usize = 2;
/// Disjoint paths of a lookup. SPEC §11.6.
pub const PATHS: usize = 4;
/// Nodes nearest to a path's point that have to answer before the path ends. SPEC §11.6.
pub const WIDTH: usize = 5;
/// Nodes that a region is expected to hold, at least. SPEC §11.7.
pub const REGION: usize = 24;
/// A region with so many halves of the expected nodes is crowded. SPEC §11.7.
pub const CROWDED: usize = 5;
/// Nodes of one subnet in a bucket, in a reply and on a path. SPEC §11.5.
pub const SUBNET_IN_BUCKET: usize = 2;
/// Nodes of one subnet in the table. SPEC §11.5.
pub const SUBNET_IN_TABLE: usize = 10;
/// Nodes of a bucket whose positions have the next three bits in common. SPEC §11.2.
pub const IN_CELL: usize = 5;
/// Records that a value lookup wants to see before it ends early. SPEC §12.4.
pub const QUORUM: usize = 4;
/// Time between two publications of a record, at most. SPEC §12.3.
pub const REPUBLISH: Duration = Duration::from_secs(7200);
/// Life of an address record, from its publication. SPEC §12.3.
pub const ADDRESS_LIFE: Duration = Duration::from_secs(21600);

/// The numbers that a node may choose; [`Config::default`] is what is simulated and shipped.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Entries of a bucket, and contacts in a reply.
    pub k: usize,
    /// Requests under way on each path.
    pub alpha: usize,
    /// Disjoint paths of a lookup.
    pub paths: usize,
    /// Answers that end a path.
    pub width: usize,
    /// Nodes that a region is expected to hold.
    pub region: usize,
    /// Entries of one subnet in a bucket.
    pub subnet_in_bucket: usize,
    /// Entries of one subnet in the table.
    pub subnet_in_table: usize,
    /// Entries of a bucket with the same next three bits.
    pub in_cell: usize,
    /// Entries of the whole table.
    pub max_entries: usize,
    /// Nodes of a bucket that are known and have no entry.
    pub spares: usize,
    /// Candidates that a path remembers.
    pub path_list: usize,
    /// Requests of one lookup, in all.
    pub max_queries: usize,
    /// Paths that a lookup opens in addition when it finds its region crowded.
    pub more_paths: usize,
    /// Operations under way.
    pub max_operations: usize,
    /// Requests under way, in all.
    pub max_requests: usize,
    /// Records that are published again and again.
    pub max_publications: usize,
    /// Nodes that are asked to keep a record, at most.
    pub max_holders: usize,
    /// Equal records that end a lookup early.
    pub quorum: usize,
    /// Providers that one operation reports.
    pub max_providers: usize,
    /// Records that the store keeps.
    pub max_records: usize,
    /// Bytes that the store takes, overhead included.
    pub max_store_bytes: usize,
    /// Records of one owner.
    pub records_of_owner: usize,
    /// Provider records of one topic.
    pub records_of_topic: usize,
    /// After this time a request is given up.
    pub give_up: Duration,
    /// Time between two publications of a record.
    pub republish: Duration,
    /// Life of an address record, from its publication.
    pub address_life: Duration,
    /// Time between two checks of one entry each.
    pub check: Duration,
    /// The same where all that are checked answer.
    pub check_most: Duration,
    /// The same while the table is thin.
    pub check_thin: Duration,
    /// A bucket with fewer entries is thin.
    pub thin: usize,
    /// Time between two lookups of a random point.
    pub refresh: Duration,
    /// A node that came to us is contacted no sooner than this after we last heard it.
    pub quiet: Duration,
    /// An entry that was heard within this time needs no check.
    pub fresh: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            k: K,
            alpha: ALPHA,
            paths: PATHS,
            width: WIDTH,
            region: REGION,
            subnet_in_bucket: SUBNET_IN_BUCKET,
            subnet_in_table: SUBNET_IN_TABLE,
            in_cell: IN_CELL,
            max_entries: 1_000,
            spares: 8,
            path_list: 48,
            max_queries: 250,
            more_paths: 28,
            max_operations: 8,
            max_requests: 256,
            max_publications: 64,
            max_holders: 256,
            quorum: QUORUM,
            max_providers: 64,
            max_records: 4_096,
            max_store_bytes: 3 << 19,
            records_of_owner: 32,
            records_of_topic: 64,
            give_up: Duration::from_secs(10),
            republish: REPUBLISH,
            address_life: ADDRESS_LIFE,
            check: Duration::from_secs(120),
            check_most: Duration::from_secs(1200),
            check_thin: Duration::from_secs(2),
            thin: 3,
            refresh: Duration::from_secs(4 * 3600),
            quiet: Duration::from_secs(120),
            fresh: Duration::from_secs(3600),
        }
    }
}
