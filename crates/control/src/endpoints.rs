//! `/endpoints` of the admin socket: who the endpoints are, and changes to them at run time.

use fairwater_message::address::Endpoint as Address;

use crate::Steward;
use crate::changes::{Change, Presence};
use crate::form::{Form, Wish};
use crate::json::{list, object, text};
use crate::overview;
use crate::problem::Problem;
use crate::roster::Member;
use crate::status::{self, EndpointStatus};

/// An endpoint, or all addresses of a name, as a request names it.
struct Named {
    /// What changes of it go by.
    name: String,
    /// The address as it was written, of which it is the whole or one of several.
    written: String,
}

impl Named {
    fn takes(&self, member: &Member) -> bool {
        member.written == self.name || member.full_name == self.name
    }
}

/// The endpoints of all upstreams.
pub(crate) fn show_all(steward: &Steward) -> String {
    let upstreams = (0..steward.roster.0.len()).map(|index| show(steward, index, |_| true, &[]));
    format!("{}\n", object(&[("upstreams", list(upstreams))]))
}

/// # Errors
/// When there is no such upstream.
pub(crate) fn show_upstream(steward: &Steward, upstream: &str) -> Result<String, Problem> {
    let index = find_upstream(steward, upstream)?;
    Ok(format!("{}\n", show(steward, index, |_| true, &[])))
}

/// The same for people: why each of its endpoints gets requests or none.
///
/// # Errors
/// When there is no such upstream.
pub(crate) fn tell_of_upstream(steward: &Steward, upstream: &str) -> Result<String, Problem> {
    let index = find_upstream(steward, upstream)?;
    let Some(sources) = steward.sources() else { return Ok(String::new()) };
    let plan = sources.plan.get();
    let members = steward.roster.0[index].iter();
    let served = &*plan.upstreams[index];
    let endpoints = status::endpoints(steward, (&steward.config.upstreams[index], served), members);
    let circuit = served.breaker().map(|(breaker, _)| breaker.state());
    Ok(overview::candidates(&endpoints, circuit.unwrap_or_default(), served.waiting()))
}

/// # Errors
/// When there is no such endpoint.
pub(crate) fn show_one(steward: &Steward, upstream: &str, name: &str) -> Result<String, Problem> {
    let index = find_upstream(steward, upstream)?;
    let named = find(steward, index, name)?;
    Ok(format!("{}\n", show(steward, index, |member| named.takes(member), &[])))
}

/// Adds an endpoint, or takes back that it was removed.
///
/// # Errors
/// When it is there already, or its address is none.
pub(crate) fn add(steward: &mut Steward, upstream: &str, form: &Form) -> Result<String, Problem> {
    let index = find_upstream(steward, upstream)?;
    let Some(address) = &form.address else {
        let help = "name the endpoint, as in -d address=127.0.0.1:9001";
        return Err(Problem::bad("`address` is missing", help));
    };
    let address =
        Address::parse(address).map_err(|error| Problem::bad(error.problem(), error.remedy()))?;
    let written = address.to_string();
    if steward.roster.0[index].iter().any(|member| member.written == written) {
        return Err(Problem::conflict(
            format!("upstream `{upstream}` has the endpoint `{written}` already"),
            format!("change it by POST to /endpoints/{upstream}/ADDRESS"),
        ));
    }
    let is_configured = is_configured(steward, index, &written);
    let what = told(upstream, &written, "added", form);
    steward.change((form.persist, &what), |changes| {
        changes.edit(upstream, &written, |change| {
            change.presence = match is_configured {
                true => Presence::AsConfigured,
                false => Presence::Added(address.clone()),
            };
            set(change, form);
        });
    })?;
    Ok(done(steward, index, |member| member.written == written))
}

/// Changes weight or state.
///
/// # Errors
/// When there is no such endpoint, or nothing to change.
pub(crate) fn edit(
    steward: &mut Steward,
    upstream: &str,
    name: &str,
    form: &Form,
) -> Result<String, Problem> {
    let index = find_upstream(steward, upstream)?;
    let named = find(steward, index, name)?;
    if form.address.is_some() {
        let help = format!("add the new one by POST to /endpoints/{upstream}, and DELETE this one");
        return Err(Problem::bad("the address of an endpoint cannot be changed", help));
    }
    if form.weight.is_none() && form.state.is_none() {
        let help = "send `weight` or `state`, as in -d state=drain";
        return Err(Problem::bad("there is nothing to change", help));
    }
    let what = told(upstream, &named.name, "set", form);
    steward.change((form.persist, &what), |changes| {
        changes.edit(upstream, &named.name, |change| set(change, form));
    })?;
    Ok(done(steward, index, |member| named.takes(member)))
}

/// Removes an endpoint, whether the configuration has it or not.
///
/// # Errors
/// When there is no such endpoint, or it is one address of a name.
pub(crate) fn remove(
    steward: &mut Steward,
    upstream: &str,
    name: &str,
    form: &Form,
) -> Result<String, Problem> {
    let index = find_upstream(steward, upstream)?;
    let named = find(steward, index, name)?;
    if named.name != named.written {
        return Err(Problem::conflict(
            format!("`{}` is an address that the name `{}` has", named.name, named.written),
            format!("set `state=maintenance` for it, or remove `{}`", named.written),
        ));
    }
    let is_configured = is_configured(steward, index, &named.name);
    let is_added = steward.roster.0[index].iter().any(|one| named.takes(one) && one.is_added);
    if !is_configured && !is_added {
        return Err(Problem::conflict(
            format!("`{}` is an instance of an app", named.name),
            "set `state=maintenance` for it",
        ));
    }
    let what = told(upstream, &named.name, "removed", form);
    steward.change((form.persist, &what), |changes| {
        changes.remove(upstream, &named.name, is_configured);
    })?;
    Ok(done(steward, index, |_| true))
}

/// What is said of a change.
fn told(upstream: &str, name: &str, what: &str, form: &Form) -> String {
    format!("{upstream}: {name} is {what} over the admin socket{}", form.words())
}

fn set(change: &mut Change, form: &Form) {
    change.weight = form.weight.map_or(change.weight, Wish::value);
    change.rest = form.state.map_or(change.rest, Wish::value);
}

fn find_upstream(steward: &Steward, name: &str) -> Result<usize, Problem> {
    let mut upstreams = steward.config.upstreams.iter();
    upstreams.position(|upstream| upstream.name.value == name).ok_or_else(|| {
        Problem::missing(format!("there is no upstream `{name}`"), "GET /endpoints lists them")
    })
}

fn find(steward: &Steward, index: usize, text: &str) -> Result<Named, Problem> {
    let normal = Address::parse(text).map_or_else(|_| text.to_owned(), |one| one.to_string());
    let members = &steward.roster.0[index];
    let whole = members.iter().find(|member| member.written == normal);
    if let Some(whole) = whole {
        return Ok(Named { name: whole.written.clone(), written: whole.written.clone() });
    }
    let part = members.iter().find(|one| one.identity == text || one.full_name == text);
    let upstream = &steward.config.upstreams[index].name.value;
    part.map(|part| Named { name: part.full_name.clone(), written: part.written.clone() })
        .ok_or_else(|| {
            Problem::missing(
                format!("upstream `{upstream}` has no endpoint `{text}`"),
                format!("GET /endpoints/{upstream} lists them"),
            )
        })
}

fn is_configured(steward: &Steward, index: usize, written: &str) -> bool {
    let mut configured = steward.config.upstreams[index].endpoints.iter();
    configured.any(|endpoint| endpoint.address.value.to_string() == written)
}

/// What is to be seen of it, with what is to be thought of.
fn done(steward: &Steward, index: usize, is_shown: impl Fn(&Member) -> bool) -> String {
    let upstream = &steward.config.upstreams[index].name.value;
    let mut warnings = Vec::new();
    if !steward.roster.0[index].iter().any(Member::takes_traffic) {
        warnings.push(format!(
            "upstream `{upstream}` has no endpoint left that takes traffic: requests for it fail"
        ));
    }
    format!("{}\n", show(steward, index, is_shown, &warnings))
}

fn show(
    steward: &Steward,
    index: usize,
    is_shown: impl Fn(&Member) -> bool,
    warnings: &[String],
) -> String {
    let name = &steward.config.upstreams[index].name.value;
    let removed = steward.changes.of(name).filter(|(_, change)| {
        // What the configuration has no more needs no removing.
        change.presence == Presence::Removed
    });
    let members = steward.roster.0[index].iter().filter(|member| is_shown(member));
    let plan = steward.sources().map(|sources| sources.plan.get());
    let endpoints = plan.map_or_else(
        || "[]".to_owned(),
        |plan| {
            let upstream = (&steward.config.upstreams[index], &*plan.upstreams[index]);
            let all = status::endpoints(steward, upstream, members);
            list(all.iter().map(EndpointStatus::json))
        },
    );
    object(&[
        ("name", text(name)),
        ("endpoints", endpoints),
        ("removed", list(removed.map(|(name, _)| text(name)))),
        ("warnings", list(warnings.iter().map(text))),
    ])
}
