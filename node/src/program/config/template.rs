//! The commented configuration that `init` writes.

use super::keys::{KEYS, Key};

/// An id for the examples. Its key was thrown away when it was drawn.
const EXAMPLE: &str = "pin178yhzfdz0055n2y9j2gntumngvlj2tw6y44wxj7m4hkknax64g8qpgrn44";

/// A configuration with every option, each commented out.
pub(crate) fn template() -> String {
    let mut text = String::from(
        "# How this node runs. Everything is optional: what stands here commented is the default or\n\
         # an example. The flags of `up` have the same names and win over this file; lists add up.\n\
         # `check` verifies this file without starting a node.\n",
    );
    for key in KEYS.iter().filter(|key| !key.absent) {
        entry(&mut text, key);
    }
    text.push_str("\n# The rest is accepted and not in this version: `check` and `up` say so.\n");
    for key in KEYS.iter().filter(|key| key.absent) {
        entry(&mut text, key);
    }
    text
}

fn entry(text: &mut String, key: &Key) {
    text.push('\n');
    for line in key.about.lines() {
        text.push_str(&format!("# {line}\n"));
    }
    text.push_str(&format!("#{} = {}\n", key.name, key.value.replace("EXAMPLE", EXAMPLE)));
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Level};
    use super::*;

    #[test]
    fn the_template_says_nothing_until_it_is_uncommented() {
        let config = Config::parse(&template(), "config.toml".into());
        assert!(config.problems.is_empty(), "{:?}", config.problems);
        assert_eq!(config.settings, Default::default());
    }

    #[test]
    fn every_option_is_there_and_passes_once_uncommented() {
        let temp = crate::testing::TempDir::new();
        let folder = super::super::super::data::Folder::locate(Some(temp.path().into())).unwrap();
        folder.make_network_key().unwrap();
        let text: String = template()
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(option) if !option.starts_with(' ') => format!("{option}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        let config = Config::parse(&text, folder.file("config.toml"));
        let errors: Vec<_> =
            config.problems.iter().filter(|problem| problem.level != Level::Note).collect();
        assert!(errors.is_empty(), "{errors:?}");
        assert_eq!(config.problems.len(), KEYS.iter().filter(|key| key.absent).count());
        assert_eq!(config.settings.peers.len(), 1);
        assert_eq!(config.settings.limits.max_connections, Some(256));
        assert!(config.settings.strict);
        assert!(template().lines().all(|line| line.chars().count() <= 120));
    }
}
