//! Why an action could not do its work.

use serde::{Deserialize, Serialize};

/// Why an action could not do its work: what failed, by which causes, and what helps. It crosses processes as data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    what: String,
    /// From the nearest to the first.
    causes: Vec<String>,
    remedy: Option<String>,
    weight: Weight,
}

/// What it means for a step that a preview looks at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Weight {
    /// It would fail now.
    #[default]
    Now,
    /// See [`Error::unseen`].
    Unseen,
    /// See [`Error::lasting`].
    Lasting,
    /// See [`Error::certain`].
    Certain,
}

impl Error {
    /// From a sentence.
    pub fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            causes: Vec::new(),
            remedy: None,
            weight: Weight::Now,
        }
    }

    /// From a sentence about what no earlier step of a plan can change, such as a tag that a remote repository does not
    /// have: the preview says that the step would fail.
    pub fn certain(what: impl Into<String>) -> Self {
        Self {
            weight: Weight::Certain,
            ..Self::new(what)
        }
    }

    /// From a sentence about what a preview must not do in order to see: it cannot tell.
    pub fn unseen(what: impl Into<String>) -> Self {
        Self {
            weight: Weight::Unseen,
            ..Self::new(what)
        }
    }

    /// It does not pass by itself, such as a file that belongs to others: unless an earlier step changes it, a run is
    /// refused, also where the step is to be tried again.
    #[must_use]
    pub fn lasting(self) -> Self {
        Self {
            weight: Weight::Lasting,
            ..self
        }
    }

    /// From a sentence and its cause, whose own causes come along.
    pub fn io(what: impl std::fmt::Display, cause: &dyn std::error::Error) -> Self {
        let mut causes = vec![cause.to_string()];
        let mut next = cause.source();
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        Self {
            causes,
            ..Self::new(what.to_string())
        }
    }

    /// With what helps.
    #[must_use]
    pub fn remedy(self, remedy: impl Into<String>) -> Self {
        Self {
            remedy: Some(remedy.into()),
            ..self
        }
    }

    /// With one more thing that helps.
    #[must_use]
    pub fn or_remedy(self, remedy: impl std::fmt::Display) -> Self {
        let remedy = match &self.remedy {
            Some(first) => format!("{first}; {remedy}"),
            None => remedy.to_string(),
        };
        self.remedy(remedy)
    }

    /// No earlier step of a plan can change it.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        self.weight == Weight::Certain
    }

    /// It does not pass by itself.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        matches!(self.weight, Weight::Lasting | Weight::Certain)
    }

    /// A preview could not look, and cannot tell.
    #[must_use]
    pub fn is_unseen(&self) -> bool {
        self.weight == Weight::Unseen
    }

    /// With its texts changed.
    #[must_use]
    pub(crate) fn map(self, text: impl Fn(&str) -> String) -> Self {
        Self {
            what: text(&self.what),
            causes: self.causes.iter().map(|c| text(c)).collect(),
            remedy: self.remedy.as_deref().map(text),
            weight: self.weight,
        }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)?;
        for cause in &self.causes {
            write!(f, ": {cause}")?;
        }
        if let Some(remedy) = &self.remedy {
            write!(f, "; {remedy}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

impl From<crate::system::durable::Trouble> for Error {
    fn from(trouble: crate::system::durable::Trouble) -> Self {
        Self::io(&trouble, &trouble.source)
    }
}
