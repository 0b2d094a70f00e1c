//! Kinds of actions that share all but their settings: a stop, a start, the edit of a file, the switch of a crontab's lines.

/// The part of an [`Action`](super::Action) that is done by something else through and through: its `with` hands that out.
macro_rules! forwarded {
    () => {
        fn effect(&self) -> upledger_replay::plan::Effect {
            upledger_replay::plan::Effect::Probed
        }

        fn has_probe(&self) -> bool {
            true
        }

        fn has_undo(&self) -> bool {
            true
        }

        fn probe(
            &self,
            cx: &$crate::actions::Context,
            observed: &serde_json::Value,
        ) -> Result<$crate::actions::Look, $crate::actions::Error> {
            self.with(|it| it.probe(cx, observed))
        }

        fn perform(
            &self,
            cx: &$crate::actions::Context,
            observed: &serde_json::Value,
            log: &mut dyn std::io::Write,
        ) -> Result<(), $crate::actions::Error> {
            self.with(|it| it.perform(cx, observed, log))
        }

        fn verify(
            &self,
            cx: &$crate::actions::Context,
            observed: &serde_json::Value,
        ) -> Result<$crate::actions::Look, $crate::actions::Error> {
            self.with(|it| it.probe(cx, observed))
        }

        fn undo(
            &self,
            cx: &$crate::actions::Context,
            observed: &serde_json::Value,
            log: &mut dyn std::io::Write,
        ) -> Result<(), $crate::actions::Error> {
            self.with(|it| it.undo(cx, observed, log))
        }

        fn undone(
            &self,
            cx: &$crate::actions::Context,
            observed: &serde_json::Value,
        ) -> Result<$crate::actions::Look, $crate::actions::Error> {
            self.with(|it| it.undone(cx, observed))
        }
    };
}
pub(crate) use forwarded;
