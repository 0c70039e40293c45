//! The allowlist of the running node: changes by commands, newcomers, and what they mean for peers
//! that are wanted.

use pinhole_node::PeerId;
use pinhole_node::allowlist::Mode;

use super::super::failure::Failure;
use super::super::json::Json;
use super::super::offline::{Change, apply, change, show};
use super::super::state::add_newcomers;
use super::super::troubles::Topic;
use super::{Desk, lock};

impl Desk {
    /// Changes the allowlist, on disk and here: all that is asked or nothing.
    pub(super) async fn change(&self, mut changes: Vec<Change>) -> Result<Json, Failure> {
        for change in &changes {
            if let Change::Mode(mode) = change
                && self.asked.strict
                && *mode != Mode::Strict
            {
                return Err(Failure::usage(format!(
                    "the configuration or a flag of `up` says `allow`, which means strict mode; \
                     take it out there and restart the node to have mode {mode}"
                )));
            }
        }
        let mut files = self.files.lock().await;
        // The same peers on disk as here, whoever comes meanwhile.
        for change in &mut changes {
            if *change == Change::AllowLearned {
                let learned = self.node.inspect_allowlist(|list| list.learned().copied().collect());
                *change = Change::Allow(learned);
            }
        }
        change(&self.folder, &changes)?;
        self.node.update_allowlist(|list| apply(list, &changes)).await?;
        // Who came meanwhile may not be stored yet.
        files.learned = usize::MAX;
        drop(files);
        self.tell_of_forgotten(&changes);
        self.review_admission().await;
        Ok(self.node.inspect_allowlist(show))
    }

    /// Whom the configuration allows is back after a restart.
    fn tell_of_forgotten(&self, changes: &[Change]) {
        let mut troubles = lock(&self.troubles);
        for change in changes {
            match change {
                Change::Forget(peers) => {
                    for peer in peers.iter().filter(|peer| self.asked.allow.contains(peer)) {
                        let what = format!(
                            "{peer} is forgotten until the node starts again, because its \
                             configuration or a flag of `up` allows it"
                        );
                        let hint = "take it out there too, or `deny` it";
                        troubles.tell(&self.node, *peer, Topic::ForgottenForNow, what, hint);
                    }
                }
                Change::Allow(peers) | Change::Deny(peers) => {
                    for peer in peers {
                        troubles.over(&self.node, *peer, Topic::ForgottenForNow);
                    }
                }
                Change::AllowLearned | Change::Mode(_) => {}
            }
        }
    }

    /// Stores the newcomers of mode learn, if there are new ones.
    pub(crate) async fn store_newcomers(&self) {
        let mut files = self.files.lock().await;
        let learned: Vec<PeerId> = self.node.inspect_allowlist(|list| match list.mode() {
            Mode::Learn if list.learned().count() != files.learned => {
                list.learned().copied().collect()
            }
            _ => Vec::new(),
        });
        if learned.is_empty() {
            return;
        }
        match add_newcomers(&self.folder, &learned) {
            Ok(()) => files.learned = learned.len(),
            Err(failure) => self.node.report_problem(failure.message, "look after the disk"),
        }
    }

    /// Tells of each wanted peer that the allowlist does not admit.
    pub(crate) async fn review_admission(&self) {
        if !self.temporary {
            let peers = self.node.peers().await;
            lock(&self.troubles).review_admission(&self.node, &peers);
        }
    }
}
