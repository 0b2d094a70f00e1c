//! The blocks of a report, A to L, in their order: every field that an auditor asks for, whether today's events say it or not.
//!
//! A later kind of event that says more fills a field that is absent today, or adds one: nothing but this list and the fold
//! knows of it. The names of fields are those of the JSON form, and each has its words in `text::compliance`.

use super::fact::{Seqs, Source};

/// A field as a page shows it.
pub(super) struct Field<'a> {
    /// Its name in the JSON form.
    pub(super) key: &'static str,
    /// Its name for people.
    pub(super) label: String,
    /// Its value for people; none where it is absent.
    pub(super) value: Option<String>,
    /// It is there, and what it says holds.
    pub(super) holds: bool,
    /// The events that prove it.
    pub(super) seq: &'a Seqs,
    /// What it rests on.
    pub(super) source: Source,
}

/// What proves a list of a block.
pub(super) struct Proof {
    /// Its name in the JSON form.
    pub(super) key: &'static str,
    /// Its name for people.
    pub(super) label: String,
    /// The events that prove its rows.
    pub(super) seq: Seqs,
}

/// A list of a block as a page shows it.
pub(super) struct Table {
    /// Its name for people.
    pub(super) label: String,
    /// The names of its columns.
    pub(super) columns: Vec<String>,
    /// Its rows, and the events that prove each.
    pub(super) rows: Vec<(Vec<String>, Seqs)>,
    /// How many more there are.
    pub(super) more: usize,
}

/// A block, as pages go through it.
pub(super) trait Block {
    /// Its letter.
    fn letter(&self) -> char;
    /// Its name in the JSON form.
    fn key(&self) -> &'static str;
    /// Its name for people.
    fn label(&self) -> String;
    /// Its fields.
    fn fields(&self) -> Vec<Field<'_>>;
    /// What proves its lists.
    fn proofs(&self) -> Vec<Proof>;
    /// Its lists, as far as a page shows them.
    fn tables(&self, most: usize) -> Vec<Table>;
}

/// A row of a list. Behind `more` stands what only programs read.
macro_rules! row {
    ($(#[$doc:meta])* $name:ident {
        $($(#[$of:meta])* $field:ident: $type:ty,)*
        $(; more { $($(#[$of_more:meta])* $more:ident: $type_of_more:ty,)* })?
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
        pub struct $name {
            $($(#[$of])* pub $field: $type,)*
            $($($(#[$of_more])* pub $more: $type_of_more,)*)?
            /// The events that prove it, as ranges of sequence numbers.
            pub seq: Seqs,
        }

        impl $name {
            fn columns() -> Vec<String> {
                vec![$(text::$field()),*]
            }

            fn cells(&self) -> Vec<String> {
                vec![$(self.$field.shown()),*]
            }
        }
    };
}

macro_rules! block {
    ($(#[$doc:meta])* $letter:literal $key:ident $name:ident {
        $($(#[$of:meta])* $field:ident: $type:ty,)*
        $(; lists { $($(#[$of_list:meta])* $list:ident: $row:ident,)* })?
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
        pub struct $name {
            $($(#[$of])* pub $field: Fact<$type>,)*
            $($($(#[$of_list])* pub $list: Vec<$row>,)*)?
        }

        impl Block for $name {
            fn letter(&self) -> char {
                $letter
            }

            fn key(&self) -> &'static str {
                stringify!($key)
            }

            fn label(&self) -> String {
                text::$key()
            }

            fn fields(&self) -> Vec<Field<'_>> {
                vec![$(Field {
                    key: stringify!($field),
                    label: text::$field(),
                    value: self.$field.value.as_ref().map(Shown::shown),
                    holds: self.$field.value.as_ref().is_some_and(Shown::holds),
                    seq: &self.$field.seq,
                    source: self.$field.source,
                }),*]
            }

            fn proofs(&self) -> Vec<Proof> {
                vec![$($(Proof {
                    key: stringify!($list),
                    label: text::$list(),
                    seq: self.$list.iter().fold(Seqs::default(), |mut all, row| {
                        all.join(&row.seq);
                        all
                    }),
                }),*)?]
            }

            fn tables(&self, _most: usize) -> Vec<Table> {
                vec![$($(Table {
                    label: text::$list(),
                    columns: $row::columns(),
                    rows: self.$list.iter().take(_most).map(|row| (row.cells(), row.seq.clone())).collect(),
                    more: self.$list.len().saturating_sub(_most),
                }),*)?]
            }
        }
    };
}

mod course;
mod subject;
mod work;

pub use course::{
    ClockRecord, DoubtRow, Failure, FailureRow, Integrity, OutageRow, Outcome, Retention,
};
pub use subject::{About, Authorisation, ChangeRecord, Identity, Session};
pub use work::{
    ActionRow, AttemptRow, Backup, Changed, CheckRow, Commands, Execution, Product, Tests,
};
