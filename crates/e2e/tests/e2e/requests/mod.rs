//! What clients may send (reliability table A): each row with its variants as data, through one
//! `check()` that looks at both sides, with a canary on another connection of the same pool.

mod case;
mod framing;
mod heads;
mod identity;
mod mutations;
mod targets;
mod timing;
