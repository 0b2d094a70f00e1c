//! The plan file as people write it. The doc comments here are the descriptions in the JSON Schema.
//!
//! Settings that are not implemented have no key here, so they are refused, never ignored.

pub use super::environment::{Cwd, Dialect, EnvFile, EnvValue};
use crate::actions::Do;
use crate::text::plan as say;
use crate::time::Length;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, MapAccess, VariantAccess, Visitor,
};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;
use upledger_replay::plan as resolved;

/// Keys of the whole plan that the design names and this version does not have.
pub(crate) const PLAN_NOT_BUILT: [&str; 7] = [
    "window",
    "notify",
    "approvals",
    "rehearsal",
    "anchors",
    "hosts",
    "monitor",
];
/// The same of a phase.
pub(crate) const PHASE_NOT_BUILT: [&str; 5] = ["on", "batch", "canary", "max_failures", "approval"];
/// The same of a step.
pub(crate) const STEP_NOT_BUILT: [&str; 5] =
    ["approval", "batch", "canary", "max_failures", "window"];

/// A plan for `upledger`: what is done, in which order, how each step is checked and how it is undone.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "upledger plan")]
pub struct File {
    /// Version of the plan format: 1.
    #[schemars(range(min = 1, max = 1))]
    pub upledger: u32,
    /// The name of this change. `${name}` inserts a variable. Runs are named after it: its ASCII letters and digits,
    /// prefixed with the change's id or the file's name if it has no ASCII letter.
    pub name: String,
    /// The environment that the plan is for, such as `production`.
    pub environment: Option<String>,
    /// The record in your change system that this run belongs to.
    pub change: Option<Change>,
    /// What happens when a step has failed and its retries are used up. Default: `ask`.
    pub on_failure: Option<OnFailure>,
    /// Variables. `${name}` in a step, in `name`, `change` or another variable is replaced by the value, as text, once.
    /// One without a value has to be given: `--var NAME=VALUE`, or `--vars FILE`, which take precedence over the values here and
    /// are taken as they are. `${run}` is the name of the run, where no variable has that name. Values are recorded:
    /// never put a secret here.
    #[serde(default)]
    pub vars: BTreeMap<Name, Option<Text>>,
    /// Secrets: a name for each, and the source from which its value is read when it is needed. Values are never recorded.
    #[serde(default)]
    pub secrets: BTreeMap<Name, SecretSource>,
    /// Environment of the commands of all steps. The `env` of a step takes precedence over it.
    #[serde(default)]
    pub env: BTreeMap<String, EnvValue>,
    /// A file with more of that environment, read each time a step starts. `env` takes precedence over it, here and in a step.
    pub env_file: Option<EnvFile>,
    /// Groups of steps, in the order in which they run.
    #[schemars(length(min = 1))]
    pub phases: Vec<Phase>,
}

/// The change ticket.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Its id in the change system.
    pub id: String,
    /// The reason for the change.
    pub reason: Option<String>,
    /// The author's estimate, such as `medium`.
    pub risk: Option<String>,
    /// What users will notice.
    pub impact: Option<String>,
    /// The services that it touches.
    #[serde(default)]
    pub services: Vec<String>,
}

/// What to do when a step has failed.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// The run stops and an operator decides.
    Ask,
    /// The run rolls back immediately, unless a point of no return has been passed.
    Rollback,
}

/// The name of a variable or a secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Name(#[schemars(regex(pattern = r"^[a-z][a-z0-9_]*$"))] pub String);

/// A value that is always read as text.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Text(pub String);

/// The source of a secret's value.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SecretSource {
    /// An environment variable of the process that runs the plan.
    Env(String),
    /// A file that only its owner can read; a trailing line break is removed.
    File(String),
    /// The output of a command, given as a list of arguments; a trailing line break is removed. It has 30 s and 64 KiB;
    /// what it leaves in the background (an agent) is not waited for.
    Command(Vec<String>),
}

/// A named group of steps.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// Its name.
    pub phase: String,
    /// The phase runs before the stop, while the service is running. A step that would change what is in use is refused here: stops
    /// and starts, deployments in place or with `current`, `django.collectstatic` without `into`, `release.switch`,
    /// migrations; `run`, `shell` and changes of files need a `why:`. The application's own code, where an action runs it,
    /// runs with database sessions that are read-only. Default: false.
    #[serde(default)]
    pub live: bool,
    /// Its steps, in the order in which they run.
    #[schemars(length(min = 1))]
    pub steps: Vec<Step>,
}

/// One step: an action, how it is checked, and how it is undone.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The name of the step in `status`, `decide` and the reports; unique in the plan.
    #[schemars(regex(pattern = r"^[a-z0-9][a-z0-9_-]{0,63}$"))]
    pub id: String,
    /// The host on which it runs. Only `local`, the default, is supported.
    #[schemars(regex(pattern = r"^local$"))]
    pub on: Option<String>,
    /// The action: one key that names its kind, such as `run`, with its settings.
    #[serde(rename = "do")]
    pub action: Do,
    /// A read-only check whether the step is done. Exit code 0 means done, 1 means that it had no effect, anything else
    /// means partly done or unknown.
    pub probe: Option<Do>,
    /// A read-only check that must succeed (exit code 0) after the step has run.
    pub verify: Option<Do>,
    /// How the step is undone: `none`, a point of no return with its reason, or an action.
    pub undo: Option<Undo>,
    /// Whether it is safe to run twice. Default: the action's own; `unsafe` for `run` and `shell`.
    pub effect: Option<Effect>,
    /// What to do when the result of an attempt is unknown and no check can determine it. Required for an unsafe step.
    pub on_doubt: Option<OnDoubt>,
    /// The time limit of one attempt; when it expires, the attempt is killed and counts as failed. `probe` and `verify`
    /// have the same limit each, but at least 60s; when it expires, they are killed and their answer is unknown.
    pub timeout: Option<Length>,
    /// Further attempts after a failure.
    pub retry: Option<Retry>,
    /// The step is skipped unless a variable has this value.
    pub when: Option<When>,
    /// Why the step is here although an order rule requires it later, or anything else that a reader of the record should
    /// know. It overrides the order rules for this step, and is recorded.
    pub why: Option<String>,
    /// Environment of the commands. The only way to pass a secret to them.
    #[serde(default)]
    pub env: BTreeMap<String, EnvValue>,
    /// A file with more of that environment, which takes precedence over the `env_file` of the plan; `env` takes
    /// precedence over both. It is read each time the step, its checks or its undo start.
    pub env_file: Option<EnvFile>,
    /// This check must hold after a rollback of the whole run, too: once everything is undone, it is made again, and if it
    /// fails, the rollback waits for a decision. For read-only checks alone, such as `http.check`, without facts of other
    /// steps.
    #[serde(default)]
    pub after_rollback: bool,
    /// Working directory of the commands, including `probe` and `verify`: an absolute path. Default: `/`.
    pub cwd: Option<Cwd>,
    /// Values read from the output of the step, for later steps: `{from: step.fact}`. They come from the last JSON object
    /// or list that it prints, which starts and ends on line boundaries; other lines may precede and follow it.
    #[serde(default)]
    pub facts: BTreeMap<Name, Fact>,
}

/// Whether a step is safe to run twice.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It changes nothing.
    Pure,
    /// Running it twice has the same result as running it once.
    Idempotent,
    /// A probe determines reliably whether it is done.
    Probed,
    /// Never run again without an operator's decision.
    Unsafe,
}

/// What to do when an attempt is in doubt.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnDoubt {
    /// An operator decides.
    Ask,
    /// It is run again.
    Retry,
}

/// Further attempts after a failure.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// The number of retries after the first attempt.
    #[schemars(range(max = 100))]
    pub times: u32,
    /// Wait before each retry.
    pub wait: Option<Length>,
}

/// A condition on a variable, evaluated before the run.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// Name of the variable.
    pub var: String,
    /// The value that it must have.
    pub is: Text,
}

/// A value to read from a step's output.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fact {
    /// A path into the output read as JSON, such as `.rows` or `.hosts[0].id`.
    #[schemars(regex(pattern = r"^[.\[]"))]
    pub json: String,
}

/// How a step is reversed.
#[derive(Debug, Clone)]
pub enum Undo {
    /// There is nothing to undo.
    Nothing,
    /// A rollback cannot pass this step.
    PointOfNoReturn(String),
    /// An action.
    Action(Box<Written>),
}

/// An undo that is an action.
#[derive(Debug, Clone)]
pub struct Written {
    /// What is run.
    pub action: Do,
    /// Is it undone?
    pub probe: Option<Do>,
    /// Must agree afterwards.
    pub verify: Option<Do>,
    /// What running it twice would mean.
    pub effect: Option<Effect>,
    /// What doubt leads to.
    pub on_doubt: Option<OnDoubt>,
    /// Environment of its command, before that of the step.
    pub env: BTreeMap<String, EnvValue>,
}

impl From<Effect> for resolved::Effect {
    fn from(e: Effect) -> Self {
        match e {
            Effect::Pure => Self::Pure,
            Effect::Idempotent => Self::Idempotent,
            Effect::Probed => Self::Probed,
            Effect::Unsafe => Self::Unsafe,
        }
    }
}

impl From<OnDoubt> for resolved::OnDoubt {
    fn from(d: OnDoubt) -> Self {
        match d {
            OnDoubt::Ask => Self::Ask,
            OnDoubt::Retry => Self::Retry,
        }
    }
}

impl From<OnFailure> for resolved::OnFailure {
    fn from(f: OnFailure) -> Self {
        match f {
            OnFailure::Ask => Self::Ask,
            OnFailure::Rollback => Self::Rollback,
        }
    }
}

const UNDO_KEYS: [&str; 6] = [
    "env",
    "point_of_no_return",
    "probe",
    "verify",
    "effect",
    "on_doubt",
];

/// A key of an undo; an unknown one is refused while its place is still known.
struct UndoKey(String);

impl<'de> Deserialize<'de> for UndoKey {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        static KNOWN: OnceLock<Vec<&'static str>> = OnceLock::new();
        let known = KNOWN.get_or_init(|| [Do::KINDS, &UNDO_KEYS].concat());
        let key = String::deserialize(d)?;
        if known.contains(&key.as_str()) {
            Ok(Self(key))
        } else {
            Err(de::Error::unknown_field(&key, known))
        }
    }
}

impl<'de> Deserialize<'de> for Undo {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Undo;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&say::undo_forms())
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Undo, E> {
                if word == "none" {
                    Ok(Undo::Nothing)
                } else {
                    Err(E::invalid_value(de::Unexpected::Str(word), &self))
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Undo, A::Error> {
                let (mut reason, mut action) = (None, None);
                let (mut probe, mut verify, mut effect, mut on_doubt) = (None, None, None, None);
                let mut env = None;
                while let Some(UndoKey(key)) = map.next_key()? {
                    match key.as_str() {
                        "point_of_no_return" => reason = Some(map.next_value::<String>()?),
                        "probe" => probe = map.next_value()?,
                        "verify" => verify = map.next_value()?,
                        "effect" => effect = map.next_value()?,
                        "on_doubt" => on_doubt = map.next_value()?,
                        "env" => env = Some(map.next_value()?),
                        _ if action.is_some() => {
                            return Err(de::Error::custom(say::one_undo()));
                        }
                        _ => action = Some(map.next_value_seed(OfKind(key))?),
                    }
                }
                let bare = probe.is_none()
                    && verify.is_none()
                    && effect.is_none()
                    && on_doubt.is_none()
                    && env.is_none();
                match (reason, action) {
                    (Some(reason), None) if bare => Ok(Undo::PointOfNoReturn(reason)),
                    (Some(_), _) => Err(de::Error::custom(say::no_return_alone())),
                    (None, Some(action)) => Ok(Undo::Action(Box::new(Written {
                        action,
                        probe,
                        verify,
                        effect,
                        on_doubt,
                        env: env.unwrap_or_default(),
                    }))),
                    (None, None) => Err(de::Error::custom(say::undo_without_action())),
                }
            }
        }
        d.deserialize_any(Read)
    }
}

/// An action whose kind was read as a key among others.
struct OfKind(String);

struct Tagged<D>(String, D);

struct Content<D>(D);

impl<'de> DeserializeSeed<'de> for OfKind {
    type Value = Do;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Do, D::Error> {
        Do::deserialize(Tagged(self.0, d))
    }
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Tagged<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        visitor.visit_enum(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de, D: Deserializer<'de>> EnumAccess<'de> for Tagged<D> {
    type Error = D::Error;
    type Variant = Content<D>;

    fn variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<(T::Value, Content<D>), D::Error> {
        let kind: de::value::StringDeserializer<D::Error> =
            de::IntoDeserializer::into_deserializer(self.0);
        Ok((seed.deserialize(kind)?, Content(self.1)))
    }
}

impl<'de, D: Deserializer<'de>> VariantAccess<'de> for Content<D> {
    type Error = D::Error;

    fn unit_variant(self) -> Result<(), D::Error> {
        Err(de::Error::custom(say::action_without_settings()))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, D::Error> {
        seed.deserialize(self.0)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_struct("", fields, visitor)
    }
}

impl JsonSchema for Undo {
    fn schema_name() -> Cow<'static, str> {
        "Undo".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let beside = json!({
            "probe": generator.subschema_for::<Do>(),
            "verify": generator.subschema_for::<Do>(),
            "effect": generator.subschema_for::<Effect>(),
            "on_doubt": generator.subschema_for::<OnDoubt>(),
            "env": generator.subschema_for::<BTreeMap<String, EnvValue>>(),
        });
        let mut forms = vec![
            json!({"const": "none", "description": "There is nothing to reverse."}),
            json!({
                "type": "object",
                "description": "A rollback cannot go behind this step.",
                "properties": {"point_of_no_return": {"type": "string", "description": "Why not."}},
                "required": ["point_of_no_return"],
                "additionalProperties": false,
            }),
        ];
        let kinds = <Do as JsonSchema>::json_schema(generator).to_value();
        for kind in kinds
            .get("oneOf")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let mut form = kind.clone();
            if let (Some(properties), Some(more)) = (
                form.get_mut("properties").and_then(Value::as_object_mut),
                beside.as_object(),
            ) {
                properties.extend(more.clone());
            }
            forms.push(form);
        }
        let schema = json!({"description": "How a step is undone.", "oneOf": forms});
        Schema::try_from(schema).unwrap_or_default()
    }
}
