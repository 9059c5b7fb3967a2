//! The project's own tasks: `cargo xtask <task>`.
//!
//! ```text
//!   demo ─┐                        ┌─ setup      what the build needs
//!   test ─┴─▶ setup, then cargo    ├─ tidy       rules of the house
//!   ci ─────▶ every gate ──────────┼─ layers     the import table
//!                                  ├─ codegen    the schemas' code
//!                                  └─ deny       licences, duplicates, sources, advisories
//! ```
//!
//! Start at [`task`]. Every module is one task or a few kindred ones; [`workspace`] is what they share. What a
//! task says goes to stderr, but for the summary of `ci` and the tests' own output.
//!
//! Invariant: it imports no package of the project, so that it builds when they do not.

mod setup;

mod programs;

mod codegen;
mod layers;
mod tidy;

mod ci;
mod workspace;

use std::process::ExitCode;

use workspace::{Result, Workspace, say};

/// Every task, for people.
const HELP: &str = "\
Usage: cargo xtask <task>

  demo [arguments]    set up, build for release, run `pinion demo`
  test [arguments]    set up, run all tests; with arguments, the test runner with those
  ci                  every gate: formatting, lints, docs, rules, tests, benches at smoke size

  setup [--gpu]       what the build needs: Debian packages, CMake, flatc, ONNX Runtime; and its GPU build (730 MB)
  codegen [--check]   write the schemas' code, or compare it with what is committed
  layers              which package may import which, and one version of each dependency
  tidy                unsafe code, long functions, stray words, files that each stage has
  deny                licences, duplicates, sources and known vulnerabilities of dependencies

Exit codes: 0 done, 1 findings or a failed step, 2 usage.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["help" | "--help" | "-h"] = arguments.as_slice() {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let Some(task) = task(&arguments) else {
        say(format_args!(
            "error: no such task: `{}`\n\n{HELP}",
            arguments.join(" ")
        ));
        return ExitCode::from(2);
    };
    match Workspace::locate().and_then(|workspace| task(&workspace)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

type Task<'a> = Box<dyn Fn(&Workspace) -> Result + 'a>;

fn task<'a>(arguments: &'a [&'a str]) -> Option<Task<'a>> {
    Some(match arguments {
        ["demo", rest @ ..] => Box::new(|workspace| programs::demo(workspace, rest)),
        ["test", rest @ ..] => Box::new(|workspace| programs::test(workspace, rest)),
        ["ci"] => Box::new(ci::ci),
        ["setup"] => Box::new(setup::setup),
        ["setup", "--gpu"] => Box::new(setup::with_gpu),
        ["codegen"] => Box::new(|workspace| codegen::codegen(workspace, false)),
        ["codegen", "--check"] => Box::new(|workspace| codegen::codegen(workspace, true)),
        ["layers"] => Box::new(layers::layers),
        ["tidy"] => Box::new(tidy::tidy),
        ["deny"] => Box::new(|workspace| ci::deny(workspace).map(drop)),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_task_is_refused() {
        assert!(task(&["tiddy"]).is_none());
        assert!(task(&["ci", "--fast"]).is_none());
        assert!(task(&[]).is_none());
    }

    #[test]
    fn help_names_every_task() {
        for name in ["demo", "test", "ci", "setup", "codegen", "layers", "tidy", "deny"] {
            assert!(task(&[name]).is_some(), "{name}");
            assert!(HELP.contains(&format!("\n  {name} ")), "{name}");
        }
    }
}
