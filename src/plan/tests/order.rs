//! Proves: each order rule refuses a plan that breaks it, names both steps, and accepts the plan that keeps it; several
//! rounds of one host are no breach; a `why:` overrides a rule and is recorded; a stop without its start is a warning.

use super::super::order::{Breach, Placed, Rule, check};
use super::super::outline::Span;
use super::super::samples;
use super::super::templates::DJANGO;
use super::load_text;
use crate::action::{Live, Service, Stage};

/// Steps in short: `web-` stops, `web+` starts, `?` confirms; `!` behind a word says why; `@host` behind it says where.
fn order(words: &str) -> Verdicts {
    let steps: Vec<Placed> = words.split_whitespace().enumerate().map(step).collect();
    let order = check(words, &steps);
    Verdicts {
        breaches: order.breaches,
        warnings: order.warnings.into_iter().map(|w| w.recorded).collect(),
    }
}

struct Verdicts {
    breaches: Vec<Breach>,
    warnings: Vec<String>,
}

fn step((at, word): (usize, &str)) -> Placed {
    let (what, host) = word.split_once('@').unwrap_or((word, "local"));
    let (what, why) = match what.strip_suffix('!') {
        Some(what) => (what, Some("it is right here".to_owned())),
        None => (what, None),
    };
    // `[code]` builds aside in a live phase, `(code)` in another.
    let live = what.starts_with('[');
    let aside = live || what.starts_with('(');
    let what = what.trim_matches(['[', ']', '(', ')']);
    let service = |name: &str| match name {
        "front" => Service::Front,
        "cron" => Service::Schedule,
        "beat" => Service::Beat,
        "workers" => Service::Workers,
        "web" => Service::Web,
        _ => panic!("{name}"),
    };
    let stage = |what: &str| match what {
        "?" => Some(Stage::Confirm),
        "code" => Some(Stage::Code),
        "pip" => Some(Stage::Dependencies),
        "static" => Some(Stage::Static),
        "switch" => Some(Stage::Switch),
        "other" => None,
        _ => Some(match what.strip_suffix('-') {
            Some(name) => Stage::Stop(service(name)),
            None => Stage::Start(service(what.strip_suffix('+').expect("a sign"))),
        }),
    };
    Placed {
        id: format!("{at}:{what}"),
        at: Span { start: at, end: at },
        why,
        targets: vec![host.into()],
        stages: what.split('&').filter_map(stage).collect(),
        serving: None,
        aside,
        live,
    }
}

#[track_caller]
fn good(words: &str) {
    let seen = order(words);
    assert_eq!(seen.breaches, [], "{words}");
    assert_eq!(seen.warnings, Vec::<String>::new(), "{words}");
}

/// Exactly these breaches: which step is too early, by which rule, and which step has to come before it.
#[track_caller]
fn bad(words: &str, wanted: &[(usize, Rule, usize)]) {
    let seen: Vec<_> = order(words)
        .breaches
        .into_iter()
        .map(|b| (b.early, b.rule, b.late))
        .collect();
    assert_eq!(seen, wanted, "{words}");
}

#[test]
fn the_whole_upgrade_in_its_order() {
    good(
        "front- beat- workers- web- cron- ? code pip static other web+ workers+ beat+ front+ cron+",
    );
    good(
        "cron- front- beat- web- workers- ? code pip static workers+ web+ beat+ front+ other cron+",
    );
    good("beat- front- workers- ? code workers+ beat+ front+");
    good("");
    good("other code other pip static");
    good("?");
    good("front- beat-&workers- ? code workers+ beat+ front+");
    good("front- beat- workers- web- ? web+ workers+&beat+ front+");
}

#[test]
fn what_is_built_aside_comes_before_the_switch_and_is_not_forced_behind_the_stop() {
    good("[code] [pip] [static] front- web- ? switch web+ front+");
    good("(code) (pip) front- web- ? (static) switch web+ front+");
    // The switch itself is a change.
    bad(
        "[code] switch web- ? web+",
        &[(1, Rule::StoppedBeforeChanges, 2)],
    );
    bad(
        "[code] web- ? switch (pip) web+",
        &[(3, Rule::BuiltBeforeSwitch, 4)],
    );
    bad(
        "[pip] [code] web- ? switch web+",
        &[(0, Rule::CodeBeforeItsUse, 1)],
    );
    bad(
        "[code] web- ? web+ switch",
        &[(3, Rule::ChangedBeforeStarts, 4)],
    );
    // Of a second round, which has its own.
    good("[code] web- ? switch web+ [code] [pip] web- ? switch web+");
}

#[test]
fn a_live_phase_needs_services_that_run() {
    bad(
        "front- web- ? [code] switch web+ front+",
        &[(0, Rule::LiveBeforeStops, 3), (1, Rule::LiveBeforeStops, 3)],
    );
    good("front- web- ? switch web+ front+ [code]");
    // Another application's service is down all the time.
    let seen = order("web-! [code] switch");
    assert_eq!(seen.breaches, []);
    assert_eq!(seen.warnings.len(), 1, "{:?}", seen.warnings);
}

#[test]
fn the_front_end_closes_first() {
    good("front- web- web+ front+");
    bad("web- front- web+ front+", &[(0, Rule::FrontClosesFirst, 1)]);
    bad(
        "workers- front- workers+ front+",
        &[(0, Rule::FrontClosesFirst, 1)],
    );
    good("beat- front- beat+ front+");
    good("web- web+");
}

#[test]
fn beat_stops_before_the_workers() {
    good("beat- workers- workers+ beat+");
    bad(
        "workers- beat- workers+ beat+",
        &[(0, Rule::BeatStopsFirst, 1)],
    );
    // Each of several workers.
    bad(
        "workers- beat- workers- workers+ workers+ beat+",
        &[(0, Rule::BeatStopsFirst, 1)],
    );
}

#[test]
fn it_is_confirmed_after_the_last_stop() {
    good("web- ? web+");
    bad("? web- web+", &[(0, Rule::ConfirmedAfterStops, 1)]);
    bad(
        "front- ? workers- web- web+ workers+ front+",
        &[(1, Rule::ConfirmedAfterStops, 3)],
    );
    // Confirmed one by one, and then once more.
    good("front- ? web- ? web+ front+");
    bad(
        "front- ? web- ? workers- workers+ web+ front+",
        &[(3, Rule::ConfirmedAfterStops, 4)],
    );
}

#[test]
fn it_is_confirmed_before_anything_starts() {
    bad("web- web+ ?", &[(1, Rule::ConfirmedBeforeStarts, 2)]);
    good("web- ? web+ workers- ? workers+");
}

#[test]
fn changes_come_after_the_stops_and_their_confirmation() {
    for change in ["code", "pip", "static"] {
        good(&format!("web- ? {change} web+"));
        good(&format!("web- {change} web+"));
        bad(
            &format!("{change} web- workers- workers+ web+"),
            &[(0, Rule::StoppedBeforeChanges, 2)],
        );
        bad(
            &format!("{change} cron- cron+"),
            &[(0, Rule::StoppedBeforeChanges, 1)],
        );
        bad(
            &format!("web- {change} ? web+"),
            &[(1, Rule::ConfirmedBeforeChanges, 2)],
        );
    }
    // The workers are stopped, and the confirmation was before that.
    bad(
        "web- ? code workers- ? workers+ web+",
        &[(2, Rule::StoppedBeforeChanges, 3)],
    );
}

#[test]
fn starts_come_after_the_changes() {
    for change in ["code", "pip", "static"] {
        for service in ["front", "cron", "beat", "workers", "web"] {
            good(&format!("{change} {service}+"));
            bad(
                &format!("{service}+ {change}"),
                &[(0, Rule::ChangedBeforeStarts, 1)],
            );
        }
    }
    bad("web- ? web+ code pip", &[(2, Rule::ChangedBeforeStarts, 4)]);
}

#[test]
fn code_comes_before_what_is_made_of_it() {
    good("code pip static");
    bad("pip code", &[(0, Rule::CodeBeforeItsUse, 1)]);
    bad("static code", &[(0, Rule::CodeBeforeItsUse, 1)]);
    bad("code static pip", &[(1, Rule::CodeBeforeItsUse, 2)]);
    good("code pip code pip static");
}

#[test]
fn services_start_in_the_reverse_order_of_their_stop() {
    good("workers- web- web+ workers+");
    bad("workers- web- workers+ web+", &[(2, Rule::ReverseStart, 3)]);
    good("web- workers- workers+ web+");
    bad("web- workers- web+ workers+", &[(2, Rule::ReverseStart, 3)]);
    bad(
        "beat- workers- beat+ workers+",
        &[(2, Rule::ReverseStart, 3)],
    );
    // What was not stopped here has no order of its own.
    good("workers+ web+ beat+");
}

#[test]
fn a_wrong_stop_is_not_refused_a_second_time_at_its_start() {
    bad("workers-! beat- beat+ workers+", &[]);
    bad("workers-! beat- workers+ beat+", &[]);
}

#[test]
fn the_front_end_opens_last_and_scheduled_jobs_come_back_after_the_services() {
    for service in ["beat", "workers", "web"] {
        good(&format!("{service}+ front+ cron+"));
        bad(
            &format!("front+ {service}+"),
            &[(0, Rule::FrontOpensLast, 1)],
        );
        bad(&format!("cron+ {service}+"), &[(0, Rule::ScheduleLast, 1)]);
    }
    good("cron+ front+");
    bad(
        "front- web- web+ front+ workers+",
        &[(3, Rule::FrontOpensLast, 4)],
    );
}

#[test]
fn several_rounds_on_one_host_are_no_breach() {
    let round = "front- beat- workers- web- ? code pip static web+ workers+ beat+ front+";
    good(&format!("{round} {round}"));
    good("web- ? code web+ web- ? code web+");
    // Workers that run while the code changes below them are no round of their own.
    bad(
        "web- ? code web+ workers- ? workers+",
        &[(2, Rule::StoppedBeforeChanges, 4)],
    );
    good("front- web- code web+ web- code web+ front+");
    good("web- web+ front- web- web+ front+");
    // A breach of the second round is still one.
    bad(
        &format!("{round} workers- beat- workers+ beat+"),
        &[(12, Rule::BeatStopsFirst, 13)],
    );
}

#[test]
fn another_host_has_an_order_of_its_own() {
    good("web-@a web+@a front-@b code@b front+@b");
    good("code@a web-@b web+@b");
    bad(
        "code@a web-@a web+@a",
        &[(0, Rule::StoppedBeforeChanges, 1)],
    );
}

#[test]
fn a_why_overrides_a_rule_and_is_recorded() {
    let seen = order("code! web- web+");
    assert_eq!(seen.breaches, []);
    assert_eq!(
        seen.warnings,
        [
            "the step `0:code` comes before `1:web-` although code, dependencies and static files change after the services have stopped; why: it is right here"
        ]
    );
    // Of the other step it says nothing.
    bad("code web-! web+", &[(0, Rule::StoppedBeforeChanges, 1)]);
    assert_eq!(order("web-! ? code web+").warnings, Vec::<String>::new());
}

#[test]
fn a_stop_without_its_start_is_a_warning() {
    let seen = order("front- workers- workers+");
    assert_eq!(seen.breaches, []);
    assert_eq!(
        seen.warnings,
        ["the step `0:front-` closes the front end, and no later step undoes that"]
    );
    assert_eq!(
        order("front-! workers- workers+").warnings,
        Vec::<String>::new()
    );
    assert_eq!(order("web+ web-").warnings.len(), 1);
}

#[test]
fn the_template_goes_through_every_place_and_no_step_of_it_can_come_elsewhere_unseen() {
    let checked = load_text("django.yaml", DJANGO).unwrap();
    assert_eq!(checked.warnings, []);
    let placed: Vec<Placed> = checked
        .plan
        .steps()
        .map(|(_, step)| {
            let action = samples::shown(&checked.plan, &step.action).unwrap();
            let properties = action.kind_of().properties();
            Placed {
                id: step.id.clone(),
                at: Span { start: 0, end: 0 },
                why: None,
                targets: step.targets.clone(),
                stages: properties.stages,
                serving: None,
                aside: properties.live == Live::Harmless,
                live: step.live,
            }
        })
        .filter(|p| !p.stages.is_empty())
        .collect();
    let mut wanted = vec![
        Stage::Confirm,
        Stage::Code,
        Stage::Dependencies,
        Stage::Static,
    ];
    for service in [
        Service::Front,
        Service::Schedule,
        Service::Beat,
        Service::Workers,
        Service::Web,
    ] {
        wanted.extend([Stage::Stop(service), Stage::Start(service)]);
    }
    for stage in wanted {
        assert!(
            placed.iter().any(|p| p.stages.contains(&stage)),
            "{stage:?}"
        );
    }
    assert_eq!(check(DJANGO, &placed).breaches, []);
    let silent = placed.iter().position(|p| p.stages == [Stage::Confirm]);
    let silent = silent.unwrap();
    for at in 0..placed.len() {
        // Each step on the other side of the confirmation; configuration may change before it, and not behind the start.
        let mut moved = placed.clone();
        let step = moved.remove(at);
        match at.cmp(&silent) {
            std::cmp::Ordering::Less => moved.insert(silent, step),
            std::cmp::Ordering::Equal => continue,
            std::cmp::Ordering::Greater if step.stages == [Stage::Configure] => moved.push(step),
            std::cmp::Ordering::Greater => moved.insert(silent, step),
        }
        let id = &placed[at].id;
        assert_ne!(
            check(DJANGO, &moved).breaches,
            [],
            "{id} may stand anywhere"
        );
    }
}
