//! `service.*`: services of any kind, whoever manages them; and what every kind that stops or starts a service has in
//! common with them.

pub mod start;
pub mod stop;

/// The calls of a stop whose settings make a `StopService`: its `with` hands that out.
macro_rules! stops {
    () => {
        type Before = $crate::host::service::Before;
        type Note = $crate::host::process::note::Note;
        type Output = $crate::host::service::Stopped;

        fn probe(
            &self,
            cx: &$crate::action::Context,
            past: &$crate::action::Past<Self>,
        ) -> Result<($crate::action::Look, Option<Self::Output>), $crate::action::Error> {
            self.with(|stop| stop.probe(cx, &past.before.0, past.noted()))
        }

        fn perform(
            &self,
            work: &mut $crate::action::Work<'_, Self::Note>,
            past: &$crate::action::Past<Self>,
        ) -> Result<Self::Output, $crate::action::Error> {
            self.with(|stop| stop.perform(work, &past.before.0))
        }

        $crate::actions::service::undoes!();
    };
}
pub(crate) use stops;

/// The calls of a start whose settings make a `StartService`.
macro_rules! starts {
    () => {
        type Before = $crate::host::service::Before;
        type Note = $crate::host::process::note::Note;
        type Output = ();

        fn probe(
            &self,
            cx: &$crate::action::Context,
            past: &$crate::action::Past<Self>,
        ) -> Result<($crate::action::Look, Option<()>), $crate::action::Error> {
            self.with(|start| start.probe(cx, past.noted()))
        }

        fn perform(
            &self,
            work: &mut $crate::action::Work<'_, Self::Note>,
            past: &$crate::action::Past<Self>,
        ) -> Result<(), $crate::action::Error> {
            self.with(|start| start.perform(work, &past.before.0))
        }

        $crate::actions::service::undoes!();
    };
}
pub(crate) use starts;

/// What a stop and a start have in common.
macro_rules! undoes {
    () => {
        fn undo(
            &self,
            work: &mut $crate::action::Work<'_, Self::Note>,
            past: &$crate::action::Past<Self>,
        ) -> Result<(), $crate::action::Error> {
            self.with(|it| it.undo(work, &past.before.0))
        }

        fn undone(
            &self,
            cx: &$crate::action::Context,
            past: &$crate::action::Past<Self>,
        ) -> Result<$crate::action::Look, $crate::action::Error> {
            self.with(|it| it.undone(cx, &past.before.0, past.noted()))
        }
    };
}
pub(crate) use undoes;
