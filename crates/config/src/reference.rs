//! The reference and the commented default file, made of what is known of the keys.

use std::fmt::Write as _;

use crate::load::Config;

/// The reference of all keys, in Markdown.
#[must_use]
pub fn reference() -> String {
    let mut out = String::from(
        "# Configuration\n\n\
         <!-- Made by `tollgate config reference`; a test compares it. -->\n\n\
         One TOML file, named by `--config` or `TOLLGATE_CONFIG`. Every key is also an environment \
         variable,\nand the common ones are flags of `tollgate serve`. A flag wins over the \
         environment, the environment\nover the file, the file over the default. In a variable, an \
         array is written with commas.\n\n\
         `tollgate config check FILE` tells what is wrong with a file, `tollgate config default` \
         prints one\nwith all defaults. Relative paths start at the working directory. Files with \
         no path of their own are\nin the data directory: `--data-dir`, `TOLLGATE_DATA_DIR`, or \
         `tollgate-data`.\n",
    );
    for section in Config::SECTIONS {
        // Writing to a String cannot fail.
        let _ = write!(out, "\n## [{}]\n\n{}\n", section.name, joined(section.doc));
        for key in section.keys {
            let _ = write!(
                out,
                "\n### {}\n\n{}\n\n- Default: `{}`\n- Takes: {}\n- Environment: `{}`\n",
                key.path(),
                joined(key.doc),
                key.default,
                key.expects,
                key.env(),
            );
        }
    }
    out
}

/// A file that says every default, with what it means above it.
#[must_use]
pub fn default_file() -> String {
    let mut out =
        String::from("# Every key with its default. Delete what you do not want to change.\n");
    for section in Config::SECTIONS {
        let _ = write!(
            out,
            "\n# {}\n[{}]\n",
            section
                .doc
                .iter()
                .map(|line| line.trim())
                .collect::<Vec<_>>()
                .join("\n# "),
            section.name
        );
        for key in section.keys {
            for line in key.doc {
                let _ = writeln!(out, "# {}", line.trim());
            }
            let _ = writeln!(out, "# Takes {}.", key.expects);
            let _ = writeln!(out, "{} = {}\n", key.name, key.default);
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
    }
    out
}

fn joined(doc: &[&str]) -> String {
    let lines: Vec<&str> = doc.iter().map(|line| line.trim()).collect();
    lines.join("\n")
}
