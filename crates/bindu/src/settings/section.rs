//! A section of the settings: its fields, their variables and their documentation at once.

use super::{environment::Environment, value::Value};
use crate::config::Problem;

/// A variable that [`Settings`](super::Settings) reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Variable {
    /// Its names. Where several are set, the first counts; the first is also the one to write.
    pub names: &'static [&'static str],
    /// The value it has when it is not set, as it would be written.
    pub default: &'static str,
    /// What it means, a line each.
    pub meaning: &'static [&'static str],
    /// What may be written.
    pub allowed: &'static str,
    /// Whether its value is never printed.
    pub secret: bool,
    /// Whether zero, or an empty text, is refused.
    pub(crate) nonzero: bool,
}

/// Reads variables and keeps what was wrong with them.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    pub(crate) environment: &'a Environment,
    pub(crate) problems: Vec<Problem>,
}

impl Reader<'_> {
    pub(crate) fn read<T: Value>(&mut self, variable: &Variable) -> Option<T> {
        let (name, text) = self.environment.find(variable.names)?;
        let value = if name.contains("__") { T::parse(text) } else { T::parse_flat(text) };
        let value = value.filter(|value| !(variable.nonzero && value.is_zero()));
        if value.is_none() {
            let shown = if variable.secret { "[redacted]".into() } else { format!("{text:?}") };
            let above = if variable.nonzero { ", neither zero nor empty" } else { "" };
            let allowed = variable.allowed;
            self.problems.push(Problem::new(name, format!("is {shown}, must be {allowed}{above}")));
        }
        value
    }
}

/// Declares a section: a struct with public fields, each with its variable.
///
/// The doc comment of a field is also the meaning of its variable. The default is written as
/// a user would write it and read by the same parser.
macro_rules! section {
    (
        $(#[$meta:meta])*
        pub struct $Section:ident {
            $(
                $(#[doc = $doc:literal])+
                pub $field:ident: $Type:ty = [$name:literal $(, $alias:literal)*]
                    default $default:literal $($nonzero:ident)?;
            )+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $Section {
            $(
                $(#[doc = $doc])+
                #[doc = concat!("\n\nVariable `", $name, "`, default `", $default, "`.")]
                pub $field: $Type,
            )+
        }

        impl $Section {
            /// The variables of this section, in the order of the fields.
            pub(crate) const VARIABLES: &'static [$crate::settings::Variable] = &[
                $($crate::settings::Variable {
                    names: &[$name $(, $alias)*],
                    default: $default,
                    meaning: &[$($doc),+],
                    allowed: <$Type as $crate::settings::value::Value>::ALLOWED,
                    secret: <$Type as $crate::settings::value::Value>::SECRET,
                    nonzero: $crate::settings::section::is_nonzero!($($nonzero)?),
                },)+
            ];

            pub(crate) fn read(reader: &mut $crate::settings::section::Reader<'_>) -> Self {
                let mut variables = Self::VARIABLES.iter();
                let mut section = Self::default();
                $(
                    if let Some(value) = variables.next().and_then(|it| reader.read(it)) {
                        section.$field = value;
                    }
                )+
                section
            }
        }

        impl Default for $Section {
            fn default() -> Self {
                Self {
                    $($field: <$Type as $crate::settings::value::Value>::parse($default)
                        .expect("the defaults are values of their type"),)+
                }
            }
        }
    };
}

macro_rules! is_nonzero {
    () => {
        false
    };
    (nonzero) => {
        true
    };
}

/// Declares an enum whose values are words, the first of which is written.
macro_rules! words {
    (
        $(#[$meta:meta])*
        pub enum $Name:ident, $allowed:literal {
            $($(#[$variant_meta:meta])* $Variant:ident = $word:literal $(| $other:literal)*,)+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $Name {
            $($(#[$variant_meta])* $Variant,)+
        }

        impl $Name {
            /// The word that stands for it in settings.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$Variant => $word,)+
                }
            }
        }

        impl std::fmt::Display for $Name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl $crate::settings::value::Value for $Name {
            const ALLOWED: &'static str = $allowed;

            fn parse(text: &str) -> Option<Self> {
                match text.trim().to_ascii_lowercase().as_str() {
                    $($word $(| $other)* => Some(Self::$Variant),)+
                    _ => None,
                }
            }
        }
    };
}

pub(super) use {is_nonzero, section, words};
