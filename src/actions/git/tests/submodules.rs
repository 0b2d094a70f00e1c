//! Submodules: exactly the commits that the tree names, two levels deep; nobody's work in one is lost; cut off and gone
//! on with; undone to where each stood.

use super::*;

/// Local submodules, which git follows only where it is told to.
fn allowed(place: &Place) -> Context {
    let mut cx = place.context();
    cx.env.push(("GIT_ALLOW_PROTOCOL".into(), "file".into()));
    cx
}

/// `app/3.0` has the submodule `libs/one` with `inner` inside it; `app/4.0` moves both and brings `two`.
fn with_modules() -> Place {
    let place = Place::new();
    for name in ["inner", "one", "two"] {
        std::fs::create_dir(place.path(name)).unwrap();
        place.git(name, &["init", "-q", "-b", "main"]);
        place.write(&format!("{name}/text"), &format!("{name} 3\n"));
        place.git(name, &["add", "-A"]);
        place.git(name, &["commit", "-q", "-m", "3"]);
    }
    let add = |place: &Place, to: &str, from: &str, at: &str| {
        let url = place.path(from).display().to_string();
        let allow = "protocol.file.allow=always";
        place.git(to, &["-c", allow, "submodule", "--quiet", "add", &url, at]);
    };
    add(&place, "one", "inner", "inner");
    place.git("one", &["commit", "-q", "-a", "-m", "with inner"]);
    add(&place, "source", "one", "libs/one");
    place.release("app/3.0", false);
    for name in ["inner", "one", "two"] {
        place.write(&format!("{name}/text"), &format!("{name} 4\n"));
        place.git(name, &["commit", "-q", "-a", "-m", "4"]);
    }
    place.git("one/inner", &["pull", "-q", "origin", "main"]);
    place.git("one", &["commit", "-q", "-a", "-m", "inner 4"]);
    place.git("source/libs/one", &["pull", "-q", "origin", "main"]);
    add(&place, "source", "two", "two");
    place.write("source/VERSION", "4.0\n");
    place.release("app/4.0", false);
    place
}

struct Run<'a> {
    place: &'a Place,
    step: TestStep<Deploy>,
}

impl<'a> Run<'a> {
    fn of(place: &'a Place, deploy: Deploy) -> Self {
        let cx = allowed(place);
        let deploy = Deploy {
            submodules: true,
            ..deploy
        };
        let step = TestStep::observed(deploy, &cx).unwrap();
        Self { place, step }
    }

    fn to(place: &'a Place, reference: &str) -> Self {
        Self::of(place, place.to(reference))
    }

    fn perform(&mut self) -> Result<String, String> {
        self.step.perform()
    }

    fn undo(&mut self) -> Result<String, String> {
        self.step.undo()
    }

    fn observe_again(&self) -> Result<Before, Error> {
        self.step.action.observe(&self.step.cx)
    }

    #[track_caller]
    fn is(&self, done: Answer, undone: Answer) {
        let look = self.step.probe();
        assert_eq!(look.answer, done, "{look:?}");
        let look = self.step.undone();
        assert_eq!(look.answer, undone, "{look:?}");
    }

    fn text(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.place.path(name)).ok()
    }
}

fn texts(place: &Place) -> [Option<String>; 3] {
    ["libs/one", "libs/one/inner", "two"]
        .map(|m| std::fs::read_to_string(place.path(&format!("app/{m}/text"))).ok())
}

fn some(texts: [&str; 3]) -> [Option<String>; 3] {
    texts.map(|t| (!t.is_empty()).then(|| format!("{t}\n")))
}

const THREE: [&str; 3] = ["one 3", "inner 3", ""];
const FOUR: [&str; 3] = ["one 4", "inner 4", "two 4"];

#[test]
fn a_clone_and_a_release_bring_all_submodules_and_the_undo_removes_them() {
    let place = with_modules();
    let mut run = Run::to(&place, "app/4.0");
    run.is(Answer::Nothing, Answer::Done);
    for _ in 0..2 {
        run.perform().unwrap();
        assert_eq!(texts(&place), some(FOUR));
        run.is(Answer::Done, Answer::Nothing);
    }
    let look = run.step.verify();
    assert!(
        look.evidence
            .iter()
            .any(|l| l.starts_with("libs/one/inner is at ")),
        "{look:?}"
    );
    for _ in 0..2 {
        run.undo().unwrap();
        run.is(Answer::Nothing, Answer::Done);
        assert!(!place.path("app").exists());
        assert!(!place.path("app.aside-run-1-code").exists());
    }
    let mut beside = Run::of(
        &place,
        Deploy {
            into: None,
            releases: Some(place.path("releases").display().to_string()),
            current: Some(place.path("current").display().to_string()),
            ..place.to("app/4.0")
        },
    );
    beside.perform().unwrap();
    beside.is(Answer::Done, Answer::Nothing);
    assert_eq!(
        beside.text("current/libs/one/inner/text"),
        Some("inner 4\n".into())
    );
}

#[test]
fn submodules_move_along_and_back() {
    let place = with_modules();
    Run::to(&place, "app/3.0").perform().unwrap();
    assert_eq!(texts(&place), some(THREE));
    // A submodule on a branch goes back to its branch.
    place.git("app/libs/one", &["checkout", "-q", "-B", "work"]);
    let mut run = Run::to(&place, "app/4.0");
    let Layout::InPlace(tree) = run.step.past().before.layout else {
        panic!("it is in place")
    };
    let branch = tree.modules[0].head.branch.as_deref();
    assert_eq!(branch, Some("refs/heads/work"));
    run.is(Answer::Nothing, Answer::Done);
    for _ in 0..2 {
        run.perform().unwrap();
        assert_eq!(texts(&place), some(FOUR));
        assert_eq!(place.git("app", &["status", "--porcelain"]), "");
        run.is(Answer::Done, Answer::Nothing);
        for _ in 0..2 {
            run.undo().unwrap();
            assert_eq!(texts(&place), some(THREE));
            assert_eq!(
                place.git("app/libs/one", &["symbolic-ref", "HEAD"]),
                "refs/heads/work"
            );
            assert_eq!(place.git("app", &["status", "--porcelain"]), "");
            assert!(!place.path("app/two").exists());
            run.is(Answer::Nothing, Answer::Done);
        }
    }
}

#[test]
fn submodules_that_were_never_there_come_and_go() {
    let place = with_modules();
    place.git("", &["clone", "-q", "source", "app"]);
    place.git("app", &["checkout", "-q", "--detach", "app/4.0"]);
    // The tree stands there already; only its submodules are missing.
    let mut run = Run::to(&place, "app/4.0");
    run.is(Answer::Nothing, Answer::Done);
    run.perform().unwrap();
    run.is(Answer::Done, Answer::Unclear);
    run.undo().unwrap();
    assert_eq!(texts(&place), [None, None, None]);
    run.is(Answer::Nothing, Answer::Done);
    assert_eq!(place.git("app", &["status", "--porcelain"]), "");
}

#[test]
fn without_the_setting_they_stay_and_the_evidence_says_so() {
    let place = with_modules();
    let deploy = place.to("app/4.0");
    let mut step = place.step(&deploy);
    step.perform().unwrap();
    let look = step.verify();
    assert_eq!(look.answer, Answer::Done);
    assert!(
        look.evidence
            .iter()
            .any(|l| l.contains("`submodules: true`")),
        "{look:?}"
    );
    assert_eq!(texts(&place), [None, None, None]);
}

#[test]
fn a_local_submodule_is_refused_by_git_and_the_remedy_is_named() {
    let place = with_modules();
    let deploy = Deploy {
        submodules: true,
        ..place.to("app/3.0")
    };
    let mut step = place.step(&deploy);
    let said = step.perform().unwrap_err();
    assert!(
        said.contains("GIT_ALLOW_PROTOCOL") && said.contains("libs/one"),
        "{said}"
    );
    assert!(!place.path("app").exists());
    step.undo().unwrap();
    assert_eq!(step.undone().answer, Answer::Done);
}

#[test]
fn work_in_a_submodule_is_named_and_kept() {
    let place = with_modules();
    Run::to(&place, "app/3.0").perform().unwrap();
    let mut run = Run::to(&place, "app/4.0");
    place.write("app/libs/one/inner/text", "somebody's work");
    let said = run.observe_again().unwrap_err().to_string();
    assert!(said.contains("libs/one/inner/text"), "{said}");
    let said = run.perform().unwrap_err();
    assert!(said.contains("would be lost: text"), "{said}");
    assert_eq!(place.read("app/libs/one/inner/text"), "somebody's work");
    run.is(Answer::Unclear, Answer::Nothing);
    assert!(run.undo().unwrap_err().contains("would be lost: text"));
    // A submodule at a commit that the tree does not name is somebody's choice.
    place.write("app/libs/one/inner/text", "inner 3\n");
    run.undo().unwrap();
    place.git("app/libs/one", &["checkout", "-q", "HEAD~1"]);
    let said = run.observe_again().unwrap_err().to_string();
    assert!(
        said.contains("libs/one (a submodule at another commit)"),
        "{said}"
    );
}

#[test]
fn a_submodule_that_it_brought_stays_when_somebody_worked_in_it() {
    let place = with_modules();
    Run::to(&place, "app/3.0").perform().unwrap();
    let mut run = Run::to(&place, "app/4.0");
    run.perform().unwrap();
    place.write("app/two/notes", "somebody's");
    let out = run.undo().unwrap();
    assert!(out.contains("two contains other files or commits"), "{out}");
    assert_eq!(place.read("app/two/notes"), "somebody's");
    assert_eq!(place.head(), place.commit("app/3.0"));
    run.is(Answer::Nothing, Answer::Done);
    // And a clone that holds such a one is moved aside whole.
    let other = with_modules();
    let mut run = Run::to(&other, "app/4.0");
    run.perform().unwrap();
    other.write("app/libs/one/inner/x.pyc", "somebody's");
    other.write(
        "app/.git/modules/libs/one/modules/inner/info/exclude",
        "*.pyc\n",
    );
    assert!(run.undo().unwrap().contains("moved to"));
    assert_eq!(
        other.read("app.aside-run-1-code/libs/one/inner/x.pyc"),
        "somebody's"
    );
}

#[test]
fn a_clone_of_a_submodule_that_was_cut_off_is_made_anew_or_taken_away() {
    let place = with_modules();
    Run::to(&place, "app/3.0").perform().unwrap();
    for forwards in [true, false] {
        for stage in ["store", "no index", "half a checkout"] {
            let mut run = Run::to(&place, "app/4.0");
            let store = "app/.git/modules/two";
            run.perform().unwrap();
            match stage {
                "store" => {
                    std::fs::remove_dir_all(place.path(store)).unwrap();
                    std::fs::create_dir_all(place.path(&format!("{store}/objects"))).unwrap();
                    std::fs::remove_file(place.path("app/two/text")).unwrap();
                }
                "no index" => {
                    std::fs::remove_file(place.path(&format!("{store}/index"))).unwrap();
                    std::fs::remove_file(place.path("app/two/text")).unwrap();
                }
                _ => {
                    std::fs::remove_file(place.path(&format!("{store}/index"))).unwrap();
                    place.write(&format!("{store}/index.lock"), "");
                    place.write("app/two/text", "tw");
                }
            }
            if forwards {
                run.perform().unwrap();
                assert_eq!(texts(&place), some(FOUR), "{stage}");
                run.is(Answer::Done, Answer::Nothing);
            }
            run.undo().unwrap();
            assert_eq!(texts(&place), some(THREE), "{stage}");
            run.is(Answer::Nothing, Answer::Done);
            assert!(!place.path("app/two").exists(), "{stage}");
        }
    }
}

#[test]
fn a_removal_of_a_submodule_that_was_cut_off_is_completed() {
    let place = with_modules();
    Run::to(&place, "app/3.0").perform().unwrap();
    let mut run = Run::to(&place, "app/4.0");
    run.perform().unwrap();
    let (dir, at) = (
        place.path("app/two"),
        place.path("app/.git/upledger-removed"),
    );
    let removing = Note::Removing {
        dir: dir.display().to_string(),
        at: at.display().to_string(),
    };
    run.step.died_after(Direction::Undo, &removing);
    run.is(Answer::Done, Answer::Nothing);
    // Its name is taken, and nothing is in its place yet.
    std::fs::rename(dir, &at).unwrap();
    run.is(Answer::Unclear, Answer::Nothing);
    run.undo().unwrap();
    assert!(!at.exists());
    assert_eq!(texts(&place), some(THREE));
    run.is(Answer::Nothing, Answer::Done);
}

#[test]
fn a_submodule_that_somebody_cloned_meanwhile_is_no_submodule_of_this_step() {
    let place = with_modules();
    Run::to(&place, "app/3.0").perform().unwrap();
    let mut run = Run::to(&place, "app/4.0");
    run.perform().unwrap();
    // The same, but for the note.
    let added = |note: &serde_json::Value| note.get("adding_submodules").is_some();
    run.step.past.notes.retain(|n| !added(&n.note));
    run.undo().unwrap();
    assert_eq!(place.read("app/two/text"), "two 4\n");
    run.is(Answer::Nothing, Answer::Done);
}

#[test]
fn somebodys_file_where_a_submodule_was_cut_off_is_kept() {
    let place = with_modules();
    Run::to(&place, "app/3.0").perform().unwrap();
    let mut run = Run::to(&place, "app/4.0");
    run.perform().unwrap();
    std::fs::remove_file(place.path("app/.git/modules/two/index")).unwrap();
    place.write("app/two/text", "somebody's work");
    let said = run.perform().unwrap_err();
    assert!(said.contains("text"), "{said}");
    run.undo().unwrap();
    assert_eq!(place.read("app/two/text"), "somebody's work");
}

#[test]
fn nothing_of_a_hostile_submodule_is_executed_and_no_path_leads_out() {
    let place = with_modules();
    Run::to(&place, "app/3.0").perform().unwrap();
    let trap = place.path("trapped");
    let hook = "app/.git/modules/libs/one/hooks/post-checkout";
    place.write(hook, &format!("#!/bin/sh\ntouch '{}'\n", trap.display()));
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(place.path(hook), mode).unwrap();
    place.git(
        "app",
        &[
            "config",
            "submodule.libs/one.update",
            &format!("!touch '{}'", trap.display()),
        ],
    );
    let mut run = Run::to(&place, "app/4.0");
    run.perform().unwrap();
    run.undo().unwrap();
    assert!(!trap.exists());
    // A link in the place of a directory on the way.
    std::fs::rename(place.path("app/libs"), place.path("outside")).unwrap();
    std::os::unix::fs::symlink(place.path("outside"), place.path("app/libs")).unwrap();
    assert!(run.observe_again().is_err());
    assert!(run.perform().is_err());
    assert_eq!(place.read("outside/one/text"), "one 3\n");
}
