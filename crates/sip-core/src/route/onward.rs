//! Room "onward" (RFC 3261 §16.5, §16.7 step 4, RFC 5359 §2.8-§2.10): whom a call is for, when the account it was for
//! forwards it, and where it goes on when nobody there answers. A redirection is followed only to users of ours: a phone
//! must not make this server call anybody at the price of others. Nobody is asked twice, and a call is passed on a few
//! times at most; so that accounts that forward to each other end (RFC 5806 §6.3, RFC 5393 §3).

use sip_message::{Method, NameAddr, Request, Uri};
use smallvec::{SmallVec, smallvec};
use std::sync::Arc;

use crate::dispatcher::route::{Ring, Strategy};
use crate::forwarding::{Cause, Forwards};
use crate::limits;
use crate::proxy::search::{Occasion, Onward, Passed, Search};
use crate::proxy::{Plan, Steps, Target, TargetUri, Targets};
use crate::redirect;
use crate::registrar::binding::Q_DEFAULT;
use crate::rejection::Rejection;
use crate::route::authenticate::Caller;
use crate::route::disposition::{Disposition, Order};
use crate::route::{dispatch, diversion, locate, own, step};
use crate::turn::Turn;

/// Puts into `plan` what is tried for a request to one of our users, and how the search may go on after that.
pub fn begin(
    turn: &Turn<'_>,
    request: &Request,
    aor: &str,
    caller: &Caller,
    (wish, ring): (Disposition, Option<&Ring>),
    plan: &mut Plan,
) -> Result<(), Rejection> {
    plan.cancels = wish.cancel;
    let forking = &turn.config.forking;
    let invite = request.method() == Method::Invite;
    let wish = ring.map_or(wish, |ring| ordered(wish, ring));
    let forwards = if invite { turn.shared.accounts.forwards(aor) } else { None };
    let ring = ring.filter(|ring| invite && ring.timeout.is_some());
    let forwards = match ring {
        Some(ring) => Some(usual(ring, forwards.as_deref())),
        None => forwards,
    };
    let recurse = invite && forking.recurse && wish.recurse;
    if forwards.is_none() && !recurse {
        let targets = locate::targets(turn, aor, caller)?;
        step::by_preference(targets, forking, wish, &mut plan.steps);
        return Ok(());
    }
    let mut search = Search {
        asked: smallvec![aor.into()],
        called: without_headers(request.uri_bytes()).into(),
        forwards,
        ring_until: None,
        passed: SmallVec::new(),
        recurse,
        hunt: None,
    };
    plan.steps = ask(turn, request, &mut search, wish)?;
    if plan.steps.is_empty() && search.passed.is_empty() {
        let targets = locate::targets(turn, aor, caller)?;
        step::by_preference(targets, forking, wish, &mut plan.steps);
    }
    if plan.steps.is_empty() {
        return Err(Rejection::temporarily_unavailable());
    }
    plan.search = search.is_open().then(|| Box::new(search));
    Ok(())
}

/// In the order that a route asks for: the operator's word counts more than the caller's.
const fn ordered(wish: Disposition, ring: &Ring) -> Disposition {
    let order = match ring.strategy {
        None => wish.order,
        Some(Strategy::ByQ) => Order::Preference,
        Some(Strategy::Parallel) => Order::Parallel,
        Some(Strategy::Serial) => Order::Sequential,
    };
    Disposition { order, ..wish }
}

/// Where a user's calls go whom a route lets ring for a time: as he wishes, and if he has no wish as the route says.
fn usual(ring: &Ring, forwards: Option<&Forwards>) -> Arc<Forwards> {
    let mut forwards = forwards.cloned().unwrap_or_default();
    if let (None, Some(after)) = (&forwards.no_answer, ring.timeout) {
        let uri = ring.on_no_answer.clone().unwrap_or_default();
        forwards.no_answer = Some((uri, after));
    }
    if forwards.unreachable.is_none() {
        forwards.unreachable = ring.on_no_answer.clone();
    }
    Arc::new(forwards)
}

/// Whether whoever calls this user is told where to try instead: the domain is so configured, or a user of ours asks
/// for it. Strangers get no addresses of our users' phones for the asking (RFC 3841 §9.1 leaves it to us).
pub fn redirects(turn: &Turn<'_>, aor: &str, caller: &Caller, wish: Disposition) -> bool {
    let names = |domain: &str| aor.strip_suffix(domain).is_some_and(|user| user.ends_with('@'));
    turn.config.redirect_domains.iter().any(|domain| names(domain))
        || (wish.redirect && matches!(caller, Caller::User))
}

/// What a redirect server answers (RFC 3261 §8.3): where the user is, or where his calls go.
pub fn contacts(
    turn: &Turn<'_>,
    request: &Request,
    aor: &str,
    caller: &Caller,
) -> Result<Vec<u8>, Rejection> {
    let forwards = turn.shared.accounts.forwards(aor).unwrap_or_default();
    let bindings = match &forwards.always {
        None => turn.shared.location.lookup(turn.now, aor),
        Some(_) => None,
    };
    let bindings: SmallVec<[_; 4]> = bindings.iter().flat_map(|all| all.iter().cloned()).collect();
    let mut lines = redirect::contacts(turn.now, request, &bindings);
    if lines.is_empty()
        && let Some(uri) = forwards.always.as_ref().or(forwards.unreachable.as_ref())
    {
        redirect::contact(uri.as_bytes(), Q_DEFAULT, &mut lines);
    }
    if !lines.is_empty() {
        return Ok(lines);
    }
    if turn.shared.accounts.contains(aor) {
        return Err(Rejection::temporarily_unavailable());
    }
    Err(caller.unknown_user())
}

fn without_headers(uri: &[u8]) -> &[u8] {
    uri.split(|b| *b == b'?').next().unwrap_or_default()
}

/// The steps for the user who is to be asked now; for the one his calls go to, if they always do, or if he has no
/// phone. None: nobody is there.
fn ask(
    turn: &Turn<'_>,
    request: &Request,
    search: &mut Search,
    wish: Disposition,
) -> Result<Steps, Rejection> {
    // Each round passes the call on once more, which is bounded.
    loop {
        let forwards = search.forwards.clone();
        let forwards = forwards.as_deref();
        let always = forwards.and_then(|forwards| forwards.always.as_deref());
        let targets = match (always, search.asked.last()) {
            (None, Some(user)) => locate::reachable(turn, user),
            _ => Targets::new(),
        };
        if !targets.is_empty() {
            let ring = forwards.and_then(|forwards| forwards.no_answer.as_ref());
            search.ring_until = ring.map(|(_, after)| turn.now + *after);
            return Ok(steps(turn, request, search, targets, wish));
        }
        let unreachable = forwards.and_then(|forwards| forwards.unreachable.as_deref());
        let (uri, cause) = match (always, unreachable) {
            (Some(uri), _) => (uri, Cause::Always),
            (None, Some(uri)) => (uri, Cause::Unreachable),
            (None, None) => return Ok(Steps::new()),
        };
        let targets = pass_on(turn, request, search, uri.as_bytes(), cause)?;
        if !targets.is_empty() {
            return Ok(steps(turn, request, search, targets, wish));
        }
    }
}

/// The call goes to `uri` now: another of our users, who is asked next, or somebody else, whose target is returned.
fn pass_on(
    turn: &Turn<'_>,
    request: &Request,
    search: &mut Search,
    uri: &[u8],
    cause: Cause,
) -> Result<Targets, Rejection> {
    if diversion::count(request) + search.passed.len() >= limits::DIVERSIONS.max {
        return Err(Rejection::forwarding_loop());
    }
    let parsed = Uri::parse(uri).map_err(|_| Rejection::unresolvable())?;
    let ours = own::names_us(turn.config, &parsed);
    let user = if ours { own::aor(turn.config, &parsed) } else { None };
    if let Some(user) = &user
        && search.asked.iter().any(|asked| **asked == **user)
    {
        return Err(Rejection::forwarding_loop());
    }
    let called = core::mem::replace(&mut search.called, uri.into());
    search.passed.push(Passed { uri: called, cause });
    (search.forwards, search.ring_until) = (None, None);
    match user {
        Some(user) => {
            search.forwards = turn.shared.accounts.forwards(&user);
            search.asked.push((*user).into());
            Ok(Targets::new())
        }
        None => {
            let next = locate::next_hop(turn, &parsed)?;
            Ok(smallvec![Target { uri: TargetUri::Other(uri.into()), next, q: Q_DEFAULT }])
        }
    }
}

/// Steps whose copies say how the call came there.
fn steps(
    turn: &Turn<'_>,
    request: &Request,
    search: &Search,
    targets: Targets,
    wish: Disposition,
) -> Steps {
    let mut steps = Steps::new();
    step::by_preference(targets, &turn.config.forking, wish, &mut steps);
    if !search.passed.is_empty() {
        let lines = diversion::lines(request, &search.passed, &search.called);
        for step in &mut steps {
            step.extra.diversion = Some(lines.as_slice().into());
        }
    }
    steps
}

/// Nobody who was tried has answered: how the search goes on.
pub fn go_on(
    turn: &Turn<'_>,
    request: &Request,
    search: &mut Search,
    occasion: Occasion<'_>,
) -> Onward {
    if let Some(hunt) = &mut search.hunt {
        return dispatch::go_on(turn, request, hunt, occasion);
    }
    let wish = Disposition::of(request);
    let forwards = search.forwards.clone().unwrap_or_default();
    // Without a URI, a time is all that was said.
    let no_answer = forwards.no_answer.as_ref().map(|(uri, _)| uri).filter(|uri| !uri.is_empty());
    let (uri, cause) = match occasion {
        Occasion::Redirected(contacts) => return redirected(turn, request, search, contacts, wish),
        Occasion::Unanswered => (no_answer, Cause::NoAnswer),
        Occasion::Failed { status: 486 | 600, .. } => (forwards.busy.as_ref(), Cause::Busy),
        // It rang, and then the phone itself gave up.
        Occasion::Failed { status: 408 | 480, rang: true } => (no_answer, Cause::NoAnswer),
        Occasion::Failed { status: 404 | 408 | 410 | 478 | 480 | 500..=599, rang: false } => {
            (forwards.unreachable.as_ref(), Cause::Unreachable)
        }
        Occasion::Failed { .. } => (None, Cause::Unreachable),
    };
    let Some(uri) = uri else { return Onward::default() };
    let steps = pass_on(turn, request, search, uri.as_bytes(), cause).and_then(|targets| {
        if targets.is_empty() {
            ask(turn, request, search, wish)
        } else {
            Ok(steps(turn, request, search, targets, wish))
        }
    });
    // What there is to say about it is said by those who did answer.
    Onward { steps: steps.unwrap_or_default(), is_whole: false, ..Onward::default() }
}

/// RFC 3261 §16.7 step 4: the users of ours among the Contacts, in the order of their preference; the caller hears of the
/// redirection if there is anybody else among them.
fn redirected(
    turn: &Turn<'_>,
    request: &Request,
    search: &mut Search,
    contacts: &[Box<[u8]>],
    wish: Disposition,
) -> Onward {
    let mut onward =
        Onward { steps: Steps::new(), is_whole: !contacts.is_empty(), ..Onward::default() };
    let mut named: SmallVec<[NameAddr<'_>; 4]> =
        contacts.iter().filter_map(|contact| NameAddr::parse(contact).ok()).collect();
    named.sort_by_key(|contact| core::cmp::Reverse(contact.q().unwrap_or(Q_DEFAULT)));
    let before = search.clone();
    let mut followed = 0;
    for contact in named {
        let ours = contact.uri().ok().filter(|uri| own::aor(turn.config, uri).is_some());
        let Some(uri) = ours else {
            onward.is_whole = false;
            continue;
        };
        // Each of them was named by the same phone.
        let mut branch = Search { asked: search.asked.clone(), ..before.clone() };
        let steps = pass_on(turn, request, &mut branch, uri.raw, Cause::Deflected)
            .and_then(|_| ask(turn, request, &mut branch, wish));
        match steps {
            Ok(mut steps) if !steps.is_empty() => {
                let last = steps.last_mut().filter(|step| step.timeout.is_none());
                if let Some(last) = last {
                    last.timeout = Some(turn.config.forking.timeout);
                }
                onward.steps.extend(steps);
                followed += 1;
                *search = branch;
            }
            _ => onward.is_whole = false,
        }
    }
    if let Some(last) = onward.steps.last_mut() {
        last.timeout = None;
    }
    if followed > 1 {
        // What one of them wants for his calls is not what the others want.
        (search.forwards, search.ring_until) = (None, None);
    }
    onward
}
