//! What a setting is. Each table declares its settings once, beside the code that reads it; the
//! reader, the JSON schema and the reference are made of these declarations.

/// A table of settings.
#[derive(Debug)]
pub(crate) struct Table {
    /// As a heading names it: `[listeners.NAME]`.
    pub(crate) title: &'static str,
    pub(crate) settings: &'static [Setting],
    /// Groups of settings that other tables have too.
    pub(crate) shared: &'static [&'static Self],
    /// Markdown for behind the settings.
    pub(crate) notes: &'static str,
}

#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) absent: Absent,
    /// What it does, and why its default is as it is.
    pub(crate) meaning: &'static str,
    /// A line that sets it, for the help texts.
    pub(crate) example: &'static str,
}

/// What holds when a setting is left out.
#[derive(Debug)]
pub(crate) enum Absent {
    Required,
    /// This value, as it would be written.
    Default(&'static str),
    /// Something that no value stands for, in words.
    Otherwise(&'static str),
}

/// What values a setting takes.
#[derive(Debug)]
pub(crate) enum Kind {
    Boolean,
    Integer {
        min: u32,
        max: u32,
    },
    /// A time such as `250ms`, between two others in milliseconds.
    Duration {
        min_ms: u64,
        max_ms: u64,
    },
    /// A number of bytes such as `64KiB`.
    Size {
        min: u64,
        max: u64,
    },
    /// Text of a form that has a name.
    Text(&'static str),
    /// The same, for those alone who may read the file.
    Secret(&'static str),
    /// One of some words, each with what it means; the meanings are all empty where the words say
    /// it.
    Choice(&'static [Word]),
    /// One of the words, or else text of a form.
    WordOrText(&'static [Word], &'static str),
    /// One value, or a list of at least one.
    OneOrMore(&'static Self),
    /// At least one.
    List(&'static Self),
    /// Either of two kinds, told apart by the type of the value.
    Either(&'static Self, &'static Self),
    Table(&'static Table),
    /// Tables under names of the user's choice.
    Named(&'static Table),
    /// Values of a kind under names of the user's choice.
    Map(&'static Self),
}

#[derive(Debug)]
pub(crate) struct Word {
    pub(crate) word: &'static str,
    pub(crate) meaning: &'static str,
}

/// Words that need no explanation.
macro_rules! words {
    ($($word:literal),+) => {
        &[$($crate::declare::Word { word: $word, meaning: "" }),+]
    };
}
pub(crate) use words;

impl Table {
    pub(crate) fn setting(&self, name: &str) -> Option<&'static Setting> {
        self.all().find(|setting| setting.name == name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.all().map(|setting| setting.name)
    }

    /// Its own settings, and those of its groups.
    pub(crate) fn all(&self) -> impl Iterator<Item = &'static Setting> {
        let shared = self.shared.iter().flat_map(|group| group.settings);
        self.settings.iter().chain(shared)
    }
}

impl Kind {
    /// The words of a choice.
    pub(crate) fn words(&self) -> &'static [Word] {
        match self {
            Self::Choice(words) | Self::WordOrText(words, _) => words,
            _ => &[],
        }
    }

    /// The kind of the elements of a list.
    pub(crate) fn of_elements(&'static self) -> &'static Self {
        match self {
            Self::OneOrMore(kind) | Self::List(kind) | Self::Map(kind) => kind,
            kind => kind,
        }
    }

    /// The tables right below.
    pub(crate) fn tables(&self) -> Vec<&'static Table> {
        match self {
            Self::Table(table) | Self::Named(table) => vec![table],
            Self::OneOrMore(kind) | Self::List(kind) => kind.tables(),
            Self::Either(one, other) => [one.tables(), other.tables()].concat(),
            _ => Vec::new(),
        }
    }
}
