//! Completions for bash, zsh and fish, from the table.

use std::fmt::Write;

use super::failure::Failure;
use super::table::{COMMANDS, Completes, Flag, GLOBAL, Spec};

/// The completion script of a shell for a program of this name.
pub(crate) fn script(shell: &str, program: &str) -> Result<String, Failure> {
    match shell {
        "bash" => Ok(bash(program)),
        "zsh" => Ok(zsh(program)),
        "fish" => Ok(fish(program)),
        other => Err(Failure::usage(format!(
            "there are no completions for {other}; choose bash, zsh or fish"
        ))),
    }
}

fn bash(program: &str) -> String {
    let function = identifier(program);
    let mut text = format!(
        "# bash completion of {program}\n\
         {function}() {{\n  \
           local word=\"${{COMP_WORDS[COMP_CWORD]}}\" before=\"${{COMP_WORDS[COMP_CWORD-1]}}\"\n  \
           local command=\"\" i\n  COMPREPLY=()\n  \
           case \"$before\" in\n"
    );
    for flag in every_flag() {
        if let Some(reply) = bash_reply(flag.completes) {
            let _ = writeln!(text, "    --{}) {reply}; return ;;", flag.long);
        }
    }
    let _ = write!(
        text,
        "  esac\n  \
           for ((i = 1; i < COMP_CWORD; i++)); do\n    \
             case \"${{COMP_WORDS[i]}}\" in\n      \
               {}) command=\"${{COMP_WORDS[i]}}\"; break ;;\n    \
             esac\n  \
           done\n  \
           case \"$command\" in\n",
        names().join("|")
    );
    for spec in COMMANDS {
        let _ = writeln!(
            text,
            "    {}) COMPREPLY=($(compgen -W \"{}\" -- \"$word\")) ;;",
            spec.name,
            words_of(spec)
        );
    }
    let _ = write!(
        text,
        "    *) COMPREPLY=($(compgen -W \"{} {}\" -- \"$word\")) ;;\n  \
           esac\n}}\ncomplete -F {function} {program}\n",
        names().join(" "),
        long_flags(GLOBAL)
    );
    text
}

fn bash_reply(completes: Completes) -> Option<String> {
    match completes {
        Completes::Nothing => None,
        Completes::Files => Some("COMPREPLY=($(compgen -f -- \"$word\"))".to_owned()),
        Completes::Folders => Some("COMPREPLY=($(compgen -d -- \"$word\"))".to_owned()),
        Completes::Words(words) => {
            Some(format!("COMPREPLY=($(compgen -W \"{}\" -- \"$word\"))", words.join(" ")))
        }
    }
}

fn zsh(program: &str) -> String {
    let mut text = format!(
        "#compdef {program}\n# zsh completion of {program}\n{}() {{\n  \
           local curcontext=\"$curcontext\" state line\n  \
           _arguments -C \\\n",
        identifier(program)
    );
    for flag in GLOBAL {
        let _ = writeln!(text, "    {} \\", zsh_flag(flag));
    }
    text.push_str("    '1:command:->command' '*::word:->words'\n  case $state in\n  command)\n");
    text.push_str("    local -a commands=(\n");
    for spec in COMMANDS {
        let _ = writeln!(text, "      '{}:{}'", spec.name, zsh_text(spec.about));
    }
    text.push_str("    )\n    _describe command commands ;;\n  words)\n    case $line[1] in\n");
    for spec in COMMANDS {
        let _ = write!(text, "    {}) _arguments", spec.name);
        for flag in spec.flags.iter().chain(GLOBAL) {
            let _ = write!(text, " {}", zsh_flag(flag));
        }
        if let Completes::Words(words) = spec.completes {
            let _ = write!(text, " '1:word:({})'", words.join(" "));
        }
        text.push_str(" ;;\n");
    }
    let _ = write!(text, "    esac ;;\n  esac\n}}\ncompdef {} {program}\n", identifier(program));
    text
}

fn zsh_flag(flag: &Flag) -> String {
    let again = if flag.many { "*" } else { "" };
    let action = match (flag.value, flag.completes) {
        (None, _) => String::new(),
        (Some(name), Completes::Nothing) => format!(":{}: ", zsh_text(name)),
        (Some(name), Completes::Files) => format!(":{name}:_files"),
        (Some(name), Completes::Folders) => format!(":{name}:_files -/"),
        (Some(name), Completes::Words(words)) => format!(":{name}:({})", words.join(" ")),
    };
    format!("'{again}--{}[{}]{action}'", flag.long, zsh_text(flag.about))
}

/// Text inside single quotes where `:`, `[` and `]` mean something to zsh.
fn zsh_text(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            ':' | '[' | ']' => escaped.extend(['\\', c]),
            '\'' => escaped.push('’'),
            _ => escaped.push(c),
        }
    }
    escaped
}

fn fish(program: &str) -> String {
    let mut text = format!("# fish completion of {program}\ncomplete -c {program} -f\n");
    for flag in GLOBAL {
        fish_flag(&mut text, program, "", flag);
    }
    for spec in COMMANDS {
        let _ = writeln!(
            text,
            "complete -c {program} -n __fish_use_subcommand -a {} -d '{}'",
            spec.name,
            fish_text(spec.about)
        );
        let seen = format!(" -n '__fish_seen_subcommand_from {}'", spec.name);
        for flag in spec.flags {
            fish_flag(&mut text, program, &seen, flag);
        }
        if let Completes::Words(words) = spec.completes {
            let _ = writeln!(text, "complete -c {program}{seen} -a '{}'", words.join(" "));
        }
    }
    text
}

fn fish_flag(text: &mut String, program: &str, seen: &str, flag: &Flag) {
    let short = flag.short.map(|letter| format!(" -s {letter}")).unwrap_or_default();
    let value = match (flag.value, flag.completes) {
        (None, _) => String::new(),
        (Some(_), Completes::Nothing) => " -x".to_owned(),
        (Some(_), Completes::Files) => " -r -F".to_owned(),
        (Some(_), Completes::Folders) => " -x -a '(__fish_complete_directories)'".to_owned(),
        (Some(_), Completes::Words(words)) => format!(" -x -a '{}'", words.join(" ")),
    };
    let _ = writeln!(
        text,
        "complete -c {program}{seen} -l {}{short}{value} -d '{}'",
        flag.long,
        fish_text(flag.about)
    );
}

fn fish_text(text: &str) -> String {
    text.replace('\'', "’")
}

fn names() -> Vec<&'static str> {
    COMMANDS.iter().map(|spec| spec.name).collect()
}

fn every_flag() -> Vec<&'static Flag> {
    let mut flags: Vec<&Flag> =
        GLOBAL.iter().chain(COMMANDS.iter().flat_map(|spec| spec.flags)).collect();
    flags.sort_by_key(|flag| (flag.long, flag.value.is_none()));
    flags.dedup_by_key(|flag| flag.long);
    flags
}

fn words_of(spec: &Spec) -> String {
    let mut words = long_flags(spec.flags);
    if let Completes::Words(own) = spec.completes {
        words = format!("{} {words}", own.join(" "));
    }
    format!("{words} {}", long_flags(GLOBAL)).trim().to_owned()
}

fn long_flags(flags: &[Flag]) -> String {
    flags.iter().map(|flag| format!("--{}", flag.long)).collect::<Vec<_>>().join(" ")
}

/// A name that is a function's name in each shell.
fn identifier(program: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    format!("_{}", program.chars().map(safe).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_gets_every_command_and_flag() {
        for shell in ["bash", "zsh", "fish"] {
            let text = script(shell, "pinhole").expect(shell);
            for spec in COMMANDS {
                assert!(text.contains(spec.name), "{shell} {}", spec.name);
                for flag in spec.flags {
                    assert!(text.contains(flag.long), "{shell} {}", flag.long);
                }
            }
            assert!(text.contains("pinhole") && !text.contains(" node\n"), "{shell}");
        }
        assert!(script("tcsh", "pinhole").is_err());
    }
}
