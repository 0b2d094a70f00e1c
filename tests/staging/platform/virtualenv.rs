//! Virtualenvs, made offline from the wheelhouse of `tests/prepare`.

use super::repository::layers;
use super::template::{digest, once, project, staging};
use super::tools::Call;
use std::path::{Path, PathBuf};

/// The virtualenv of a release, made by Debian's Python from the wheelhouse. Platforms link to it: never change it.
pub(crate) fn virtualenv(release: &str) -> PathBuf {
    let wheels = staging().join("wheels");
    assert!(
        wheels.join("stamp").exists(),
        "{} is missing; make it with: tests/prepare",
        wheels.display()
    );
    // The topmost layer that has them.
    let requirements = layers(release)
        .iter()
        .rev()
        .map(|layer| project().join(layer).join("requirements.txt"))
        .find(|file| file.exists())
        .expect("the first layer has them");
    let name = format!("venv-{release}");
    once(
        &name,
        &digest(
            &[&requirements, &wheels.join("stamp")],
            include_str!("virtualenv.rs"),
        ),
        |into| {
            make_virtualenv("/usr/bin/python3", into, &[&requirements]);
        },
    )
}

/// Makes a virtualenv and installs into it, offline.
pub(crate) fn make_virtualenv(python: &str, into: &Path, requirements: &[&Path]) {
    let place = into.to_str().expect("text");
    Call::new(python)
        .args(["-m", "venv", "--without-pip", place])
        .run();
    let wheels = staging().join("wheels");
    let install = |what: &[&str]| {
        Call::new("/usr/bin/python3")
            .args([
                "-m",
                "pip",
                "--python",
                &format!("{place}/bin/python"),
                "install",
                "--quiet",
            ])
            .args(["--disable-pip-version-check", "--no-index", "--find-links"])
            .args([&wheels])
            .args(what)
            .run();
    };
    install(&["pip", "setuptools"]);
    for file in requirements {
        install(&["--requirement", file.to_str().expect("text")]);
    }
}
