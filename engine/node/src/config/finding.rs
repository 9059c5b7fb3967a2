//! What is wrong with a configuration, and where.
//!
//! Invariant: a finding names the place that the user can change: file, line and column, an environment
//! variable, or a flag.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use pinion_features::set::file::{SetError, SetFinding};

/// The source that set a value.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A span of bytes in a file, with the file's path and whole text.
    File {
        /// Path and text.
        source: Arc<(PathBuf, String)>,
        /// Bytes of the text.
        span: Range<usize>,
    },
    /// An environment variable.
    Environment {
        /// Its name.
        name: String,
    },
    /// A `--set` flag.
    Flag {
        /// Its text.
        text: String,
    },
    /// Nothing set it: the default.
    Default,
    /// The finding is not about a value.
    None,
}

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub struct Finding {
    message: String,
    origin: Origin,
    help: Option<String>,
}

impl Finding {
    /// A finding at `origin`.
    pub fn new(message: String, origin: Origin) -> Self {
        Self {
            message,
            origin,
            help: None,
        }
    }

    /// The same with a hint.
    pub fn with_help(self, help: String) -> Self {
        Self {
            help: Some(help),
            ..self
        }
    }

    /// What is wrong with a feature set, each thing at its place in the set's file.
    pub fn of_set(error: SetError) -> Vec<Self> {
        let SetError::Refused { path, text, findings } = error else {
            return vec![Self::unplaced(&error)];
        };
        let source = Arc::new((path, text));
        let placed = |finding: SetFinding| {
            let origin = Origin::File {
                source: source.clone(),
                span: finding.span.unwrap_or(0..0),
            };
            Self {
                help: finding.help,
                ..Self::new(finding.message, origin)
            }
        };
        findings.into_iter().map(placed).collect()
    }

    /// A refusal that has no place of its own.
    pub(crate) fn unplaced(error: &dyn fmt::Display) -> Self {
        Self::new(error.to_string(), Origin::None)
    }

    /// What is wrong, without its place.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The hint, if there is one.
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// The place in one word: `file:line:column`, a variable, a flag, `default`.
    pub fn place(&self) -> String {
        match &self.origin {
            Origin::File { source, span } => {
                let (line, column) = line_and_column(&source.1, span.start);
                format!("{}:{line}:{column}", source.0.display())
            }
            Origin::Environment { name } => format!("environment variable {name}"),
            Origin::Flag { text } => format!("--set {text}"),
            Origin::Default => "default".to_owned(),
            Origin::None => "configuration".to_owned(),
        }
    }

    /// The finding with the lines of the file that it is about, as a compiler shows it.
    pub fn render(&self, colours: bool) -> String {
        let Origin::File { source, span } = &self.origin else {
            return format!("error: {self}");
        };
        let path = source.0.display().to_string();
        let snippet = Snippet::source(source.1.as_str())
            .path(path.as_str())
            .annotation(AnnotationKind::Primary.span(span.clone()));
        let mut group = Level::ERROR.primary_title(self.message.as_str()).element(snippet);
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        let renderer = if colours {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        renderer
            .decor_style(DecorStyle::Ascii)
            .render(&[group])
            .to_string()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place(), self.message)?;
        match &self.help {
            Some(help) => write!(f, "; {help}"),
            None => Ok(()),
        }
    }
}

/// Both count from 1; the column counts characters.
fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..offset.min(text.len())];
    let line_start = before.rfind('\n').map_or(0, |index| index + 1);
    (
        before.matches('\n').count() + 1,
        before[line_start..].chars().count() + 1,
    )
}
