//! The calling side of a phone: RFC 3261 §8.1, §9.1, §13.2, §15.1.1, §17.1, §22.2-§22.3.

use std::collections::HashMap;
use std::rc::Rc;

use sip_core::flow::Transport;
use sip_core::time::Instant;

use super::CallTimes;
use super::agent::{Agent, Alarm, Call, Client, GIVE_UP, Out, Progress, Purpose, T1, T2};
use super::digest::Challenge;
use super::draft::{Draft, Target, address_of, bare, is_loose, sdp};
use super::plan::{Acks, AnswerPlan, CallPlan, RequestPlan};
use crate::heard::Heard;

impl Agent {
    pub(super) fn start_call(&mut self, now: Instant, plan: CallPlan) {
        let tag = self.unique("f");
        let from = plan.from.clone().unwrap_or_else(|| self.aor());
        let local = format!("<{from}>;tag={tag}");
        let remote = format!("<{}>", plan.to.as_ref().unwrap_or(&plan.uri));
        let call_id = plan.call_id.clone().unwrap_or_else(|| {
            let unique = self.unique("call-");
            format!("{unique}@{}", self.address.ip())
        });
        let mut headers = vec![self.contact_line()];
        headers.extend(plan.headers.iter().cloned());
        let draft = Draft {
            method: "INVITE".to_owned(),
            uri: plan.uri.clone(),
            from: local.clone(),
            to: remote.clone(),
            call_id: call_id.clone(),
            cseq: 1,
            routes: plan.routes.clone(),
            headers,
            max_forwards: plan.max_forwards.unwrap_or(70),
            body: plan.sdp.then(|| sdp(&self.user, self.claimed)),
        };
        let call = self.calls.len();
        self.calls.push(Call {
            call_id,
            local,
            remote,
            remote_tag: String::new(),
            routes: Vec::new(),
            target: plan.uri.clone(),
            cseq: 1,
            up: false,
            over: false,
            times: Some(CallTimes { began: now, answered: None, over: None }),
            cancel_wanted: false,
            invite: 0,
            answer: AnswerPlan::default(),
            accepted: Vec::new(),
            proxy_tried: 0,
            plan: plan.clone(),
        });
        let proxy = plan.proxies.first().copied().unwrap_or(self.proxy);
        let target = Target::new(proxy, self.transport);
        self.send_request(now, draft, target, Purpose::Invite(call), 0);
        if let Some(after) = plan.cancel_after {
            self.alarm(now + after, Alarm::Cancel { call });
        }
    }

    /// A REGISTER, OPTIONS, MESSAGE ... outside a dialog.
    pub(super) fn start_request(&mut self, now: Instant, plan: &RequestPlan) {
        let tag = self.unique("f");
        let register = plan.method == "REGISTER";
        let (call_id, cseq) = if register {
            self.registration.1 = plan.cseq.unwrap_or(self.registration.1 + 1);
            self.registration.clone()
        } else {
            (self.unique("single-"), plan.cseq.unwrap_or(1))
        };
        let to_tag = plan.to_tag.as_ref().map_or(String::new(), |tag| format!(";tag={tag}"));
        let headers = plan.headers.iter().map(|h| h.trim_end_matches("#own").to_owned()).collect();
        let draft = Draft {
            method: plan.method.clone(),
            uri: plan.uri.clone(),
            from: format!("<{}>;tag={tag}", self.aor()),
            to: format!("<{}>{to_tag}", plan.to),
            call_id: plan.call_id.clone().unwrap_or(call_id),
            cseq,
            routes: plan.routes.clone(),
            headers,
            max_forwards: plan.max_forwards.unwrap_or(70),
            body: plan.body.clone(),
        };
        let target = Target::new(self.proxy, self.transport);
        let client = self.send_request(now, draft, target, Purpose::Single, 0);
        self.repeat_by_plan(now, client, &plan.repeats);
    }

    fn repeat_by_plan(&mut self, now: Instant, client: usize, after: &[core::time::Duration]) {
        let Some(c) = self.clients.get(client) else { return };
        let out = Out::new(c.target, c.wire.clone());
        for after in after {
            self.alarm(now + *after, Alarm::Send(out.clone()));
        }
    }

    /// Sends a request in a transaction of its own; gives its index.
    pub(super) fn send_request(
        &mut self,
        now: Instant,
        mut draft: Draft,
        target: Target,
        purpose: Purpose,
        attempts: u32,
    ) -> usize {
        if draft.method != "ACK" {
            self.add_credentials(&mut draft);
        }
        let cookie = if self.rfc2543 { "old" } else { "z9hG4bK" };
        let branch = self.unique(cookie);
        let via = self.via(target.transport, &branch);
        let wire = draft.write(&via);
        self.out.push(Out::new(target, wire.clone()));
        let client = self.clients.len();
        self.clients.push(Client {
            branch,
            draft,
            via,
            wire,
            target,
            progress: Progress::Calling,
            gap: T1,
            epoch: 0,
            purpose,
            attempts,
            acks: HashMap::new(),
            cancel_sent: false,
        });
        if target.transport == Transport::Udp {
            self.alarm(now + T1, Alarm::Resend { client, epoch: 0 });
        }
        self.alarm(now + GIVE_UP, Alarm::GiveUp { client, epoch: 0 });
        if let Purpose::Invite(call) = purpose
            && let Some(c) = self.calls.get_mut(call)
        {
            c.invite = client;
            let repeats = std::mem::take(&mut c.plan.repeats);
            self.repeat_by_plan(now, client, &repeats);
        }
        client
    }

    pub(super) fn via(&self, transport: Transport, branch: &str) -> String {
        let rport = if self.rfc2543 { "" } else { ";rport" };
        format!("SIP/2.0/{} {};branch={branch}{rport}", transport.via_token(), self.claimed)
    }

    /// Timers A and E (RFC 3261 §17.1.1.2, §17.1.2.2).
    pub(super) fn resend(&mut self, now: Instant, client: usize, epoch: u32) {
        let Some(c) = self.clients.get_mut(client) else { return };
        let invite = c.draft.method == "INVITE";
        if c.epoch != epoch || c.progress == Progress::Finished {
            return;
        }
        if invite && c.progress == Progress::Proceeding {
            return;
        }
        c.gap = match (invite, c.progress) {
            (true, _) => c.gap * 2,
            (false, Progress::Calling) => (c.gap * 2).min(T2),
            (false, _) => T2,
        };
        let (gap, out) = (c.gap, Out::new(c.target, c.wire.clone()));
        self.out.push(out);
        self.alarm(now + gap, Alarm::Resend { client, epoch });
    }

    /// Timers B and F.
    pub(super) fn give_up(&mut self, now: Instant, client: usize, epoch: u32) {
        let Some(c) = self.clients.get_mut(client) else { return };
        let invite = c.draft.method == "INVITE";
        if c.epoch != epoch
            || c.progress == Progress::Finished
            || (invite && c.progress == Progress::Proceeding)
        {
            return;
        }
        c.progress = Progress::Finished;
        let (purpose, draft) = (c.purpose, c.draft.clone());
        self.heard.push(("timeout".to_owned(), false));
        let Purpose::Invite(call) = purpose else { return };
        let Some(c) = self.calls.get_mut(call) else { return };
        c.proxy_tried += 1;
        match c.plan.proxies.get(c.proxy_tried) {
            Some(next) => {
                let target = Target::new(*next, self.transport);
                self.send_request(now, draft, target, purpose, 0);
            }
            None => self.finish(now, call),
        }
    }

    pub(super) fn receive_response(&mut self, now: Instant, message: &Rc<Heard>) {
        let Some(client) = self
            .clients
            .iter()
            .position(|c| c.branch == message.branch && c.draft.method == message.method)
        else {
            self.heard.push(("stray".to_owned(), true));
            return;
        };
        let Some(c) = self.clients.get_mut(client) else { return };
        let purpose = c.purpose;
        if message.status < 200 {
            if c.progress == Progress::Calling {
                c.progress = Progress::Proceeding;
            }
            if let Purpose::Invite(call) = purpose {
                self.heard_provisional(now, call, message);
            }
            return;
        }
        let first = c.progress != Progress::Finished;
        c.progress = Progress::Finished;
        let invite = c.draft.method == "INVITE";
        if invite && message.status < 300 {
            return self.heard_answer(now, client, message);
        }
        if invite {
            let ack = c.draft.same_hop("ACK", &message.to).write(&c.via);
            self.out.push(Out::new(c.target, ack));
        }
        if first
            && !self.answer_challenge(now, client, message)
            && let Purpose::Invite(call) = purpose
        {
            self.finish(now, call);
        }
    }

    fn heard_provisional(&mut self, now: Instant, call: usize, message: &Rc<Heard>) {
        if message.rseq != 0 {
            // RFC 3262 §4: once for each, in the early dialog it belongs to.
            let rack = format!("RAck: {} {} INVITE", message.rseq, message.cseq);
            self.send_in_early(now, call, message, "PRACK", vec![rack]);
            self.plan_update(now, call, message);
        }
        let Some(c) = self.calls.get(call) else { return };
        if c.cancel_wanted || c.plan.cancel_on == Some(message.status) {
            self.cancel(now, call);
        }
    }

    fn plan_update(&mut self, now: Instant, call: usize, message: &Rc<Heard>) {
        let after = self.calls.get_mut(call).and_then(|c| c.plan.update_after.take());
        if let Some(after) = after {
            self.alarm(now + after, Alarm::Update { call, dialog: Rc::clone(message) });
        }
    }

    /// RFC 3311.
    pub(super) fn update(&mut self, now: Instant, call: usize, dialog: &Heard) {
        let Some(c) = self.calls.get(call).filter(|c| !c.over) else { return };
        let mut headers = c.plan.headers.clone();
        headers.push(self.contact_line());
        self.send_in_early(now, call, dialog, "UPDATE", headers);
    }

    /// A request in the dialog that a response has begun (RFC 3261 §12.1.2).
    fn send_in_early(
        &mut self,
        now: Instant,
        call: usize,
        dialog: &Heard,
        method: &str,
        headers: Vec<String>,
    ) {
        let (uri, routes, hop) = self.next_hop(call, dialog);
        let Some(c) = self.calls.get_mut(call) else { return };
        c.cseq += 1;
        let draft = Draft {
            method: method.to_owned(),
            uri,
            from: c.local.clone(),
            to: dialog.to.clone(),
            call_id: c.call_id.clone(),
            cseq: c.cseq,
            routes,
            headers,
            max_forwards: 70,
            body: None,
        };
        self.send_request(now, draft, hop, Purpose::Single, 0);
    }

    /// 2xx to an INVITE: RFC 3261 §13.2.2.4. Each one is ACKed; a second dialog is ended at once.
    fn heard_answer(&mut self, now: Instant, client: usize, message: &Rc<Heard>) {
        let Some(c) = self.clients.get(client) else { return };
        let tag = message.to_tag.clone();
        let (Purpose::Invite(call) | Purpose::Reinvite(call)) = c.purpose else { return };
        if let Some(ack) = c.acks.get(&tag) {
            let ack = ack.clone();
            if self.calls.get(call).is_some_and(|c| c.plan.ack != Acks::Never) {
                self.out.push(ack);
            }
            return;
        }
        let (uri, routes, hop) = self.way_of_ack(call, c.purpose, message);
        let invite = c.draft.clone();
        let mut headers: Vec<String> =
            invite.headers.iter().filter(|h| h.contains("uthorization: ")).cloned().collect();
        headers.push(self.contact_line());
        let draft = Draft {
            method: "ACK".to_owned(),
            uri: uri.clone(),
            to: message.to.clone(),
            routes: routes.clone(),
            headers,
            max_forwards: 70,
            body: invite.body.is_none().then(|| sdp(&self.user, self.claimed)),
            ..invite.clone()
        };
        let branch = self.unique(if self.rfc2543 { "old" } else { "z9hG4bK" });
        let wire = draft.write(&self.via(hop.transport, &branch));
        if let Some(c) = self.clients.get_mut(client) {
            c.acks.insert(tag.clone(), Out::new(hop, wire));
        }
        let Some(c) = self.calls.get_mut(call) else { return };
        let first = c.remote_tag.is_empty();
        if first {
            c.remote_tag.clone_from(&tag);
            c.remote.clone_from(&message.to);
            c.routes = message.record_routes.iter().rev().cloned().collect();
            c.target = message.contacts.first().cloned().unwrap_or_default();
            c.up = true;
            if let Some(times) = &mut c.times {
                times.answered = Some(now);
            }
        }
        let (plan, cancelled) = (c.plan.clone(), c.cancel_wanted);
        if first {
            self.plan_update(now, call, message);
        }
        match plan.ack {
            Acks::AtOnce => self.send_ack(client, &tag),
            Acks::After(after) => self.alarm(now + after, Alarm::Ack { client, tag }),
            Acks::Never => {}
        }
        if !first {
            if self.calls.get(call).is_some_and(|c| c.remote_tag != message.to_tag) {
                self.bye_extra(now, call, &draft, hop);
            }
            return;
        }
        if cancelled {
            self.hang_up(now, call);
        }
        if let Some(after) = plan.reinvite_after {
            self.alarm(now + after, Alarm::Reinvite { call });
        }
        if let Some(after) = plan.hang_up_after {
            self.alarm(now + after, Alarm::HangUp { call });
        }
    }

    pub(super) fn send_ack(&mut self, client: usize, tag: &str) {
        if let Some(ack) = self.clients.get(client).and_then(|c| c.acks.get(tag)) {
            self.out.push(ack.clone());
        }
    }

    /// A fork too many: the dialog of `ack` ends.
    fn bye_extra(&mut self, now: Instant, call: usize, ack: &Draft, hop: Target) {
        let cseq = ack.cseq + 1;
        let draft = Draft { method: "BYE".to_owned(), cseq, body: None, ..ack.clone() };
        let _ = call;
        self.send_request(now, draft, hop, Purpose::Bye, 0);
    }

    /// RFC 3261 §12.2.1.2: after a re-INVITE the route set of the dialog stays, whatever the answer says.
    fn way_of_ack(
        &self,
        call: usize,
        purpose: Purpose,
        answer: &Heard,
    ) -> (String, Vec<String>, Target) {
        match self.calls.get(call).filter(|_| matches!(purpose, Purpose::Reinvite(_))) {
            Some(known) => {
                let target = answer.contacts.first().unwrap_or(&known.target).clone();
                self.route(known.routes.clone(), target, known.plan.strict_requests)
            }
            None => self.next_hop(call, answer),
        }
    }

    /// Request-URI, Route and address for a request in the dialog that `answer` made: RFC 3261 §12.2.1.1.
    fn next_hop(&self, call: usize, answer: &Heard) -> (String, Vec<String>, Target) {
        let routes: Vec<String> = answer.record_routes.iter().rev().cloned().collect();
        let target = answer.contacts.first().cloned().unwrap_or_default();
        let strict = self.calls.get(call).is_some_and(|c| c.plan.strict_requests);
        self.route(routes, target, strict)
    }

    pub(super) fn route(
        &self,
        mut routes: Vec<String>,
        target: String,
        strict: bool,
    ) -> (String, Vec<String>, Target) {
        let hop = routes.first().cloned().unwrap_or_else(|| target.clone());
        let (address, transport) = address_of(&hop).unwrap_or((self.proxy, self.transport));
        // A phone without UDP reaches even a record-routing proxy over its own transport.
        let transport = if self.transport == Transport::Tcp { Transport::Tcp } else { transport };
        let hop_target = Target::new(address, transport);
        if routes.first().is_some_and(|first| strict || !is_loose(first)) {
            let uri = bare(&routes.remove(0)).to_owned();
            routes.push(format!("<{target}>"));
            return (uri, routes, hop_target);
        }
        (target, routes, hop_target)
    }

    /// A request inside the call.
    pub(super) fn send_in_call(&mut self, now: Instant, call: usize, method: &str) {
        let Some(c) = self.calls.get_mut(call) else { return };
        c.cseq += 1;
        let (routes, target, strict) = (c.routes.clone(), c.target.clone(), c.plan.strict_requests);
        let (from, to) = (c.local.clone(), c.remote.clone());
        let (call_id, cseq) = (c.call_id.clone(), c.cseq);
        let (uri, routes, hop) = self.route(routes, target, strict);
        let invite = method == "INVITE";
        let draft = Draft {
            method: method.to_owned(),
            uri,
            from,
            to,
            call_id,
            cseq,
            routes,
            headers: if invite { vec![self.contact_line()] } else { Vec::new() },
            max_forwards: 70,
            body: invite.then(|| sdp(&self.user, self.claimed)),
        };
        let purpose = if invite { Purpose::Reinvite(call) } else { Purpose::Bye };
        let client = self.send_request(now, draft, hop, purpose, 0);
        let repeats =
            self.calls.get(call).map(|c| c.answer.bye_repeats.clone()).unwrap_or_default();
        if !invite && !repeats.is_empty() {
            if let Some(c) = self.clients.get_mut(client) {
                c.epoch += 1;
            }
            self.repeat_by_plan(now, client, &repeats);
        }
    }

    pub(super) fn hang_up(&mut self, now: Instant, call: usize) {
        let Some(c) = self.calls.get(call) else { return };
        if c.up && !c.over {
            self.finish(now, call);
            self.send_in_call(now, call, "BYE");
        }
    }

    pub(super) fn reinvite(&mut self, now: Instant, call: usize) {
        if self.calls.get(call).is_some_and(|c| c.up && !c.over) {
            self.send_in_call(now, call, "INVITE");
        }
    }

    /// RFC 3261 §9.1: not before a provisional, not after a final response.
    pub(super) fn cancel(&mut self, now: Instant, call: usize) {
        let Some(c) = self.calls.get_mut(call) else { return };
        c.cancel_wanted = true;
        let (invite, blindly) = (c.invite, c.plan.cancel_blindly);
        let Some(client) = self.clients.get_mut(invite) else { return };
        let allowed = client.progress == Progress::Proceeding
            || (blindly && client.progress == Progress::Calling);
        if !allowed || client.cancel_sent {
            return;
        }
        client.cancel_sent = true;
        let draft = client.draft.same_hop("CANCEL", &client.draft.to);
        let (branch, via, target) = (client.branch.clone(), client.via.clone(), client.target);
        let wire = draft.write(&via);
        self.out.push(Out::new(target, wire.clone()));
        let index = self.clients.len();
        self.clients.push(Client {
            branch,
            draft,
            via,
            wire,
            target,
            progress: Progress::Calling,
            gap: T1,
            epoch: 0,
            purpose: Purpose::Cancel,
            attempts: 0,
            acks: HashMap::new(),
            cancel_sent: false,
        });
        if target.transport == Transport::Udp {
            self.alarm(now + T1, Alarm::Resend { client: index, epoch: 0 });
        }
        self.alarm(now + GIVE_UP, Alarm::GiveUp { client: index, epoch: 0 });
    }

    /// 401 or 407: the same request again with credentials (RFC 3261 §22.2, §22.3). False: no use.
    fn answer_challenge(&mut self, now: Instant, client: usize, message: &Heard) -> bool {
        if !matches!(message.status, 401 | 407) || self.password.is_none() {
            return false;
        }
        let mut found: Vec<Challenge> = Vec::new();
        for (proxy, value) in &message.challenges {
            let Some(challenge) = Challenge::parse(value, *proxy) else { continue };
            let same = |c: &Challenge| c.realm == challenge.realm && c.proxy == challenge.proxy;
            if self.only_md5 && challenge.sha256 {
                continue;
            }
            if !found.iter().any(same) {
                found.push(challenge);
            }
        }
        let Some(c) = self.clients.get(client) else { return false };
        let stale = found.iter().any(|c| c.stale);
        let known = |f: &Challenge| {
            let header = if f.proxy { "Proxy-Authorization: " } else { "Authorization: " };
            let realm = format!("realm=\"{}\"", f.realm);
            c.draft.headers.iter().any(|h| h.starts_with(header) && h.contains(&realm))
        };
        let refused = found.iter().all(known) && !stale;
        if found.is_empty() || refused || c.attempts > 3 {
            return false;
        }
        let (mut draft, target, purpose, attempts) =
            (c.draft.clone(), c.target, c.purpose, c.attempts + 1);
        for challenge in found {
            self.challenges
                .retain(|(c, _)| c.realm != challenge.realm || c.proxy != challenge.proxy);
            self.challenges.push((challenge, 0));
        }
        draft.cseq += 1;
        if draft.method == "REGISTER" {
            self.registration.1 = draft.cseq;
        }
        if let Purpose::Invite(call) | Purpose::Reinvite(call) = purpose
            && let Some(c) = self.calls.get_mut(call)
        {
            c.cseq = draft.cseq;
        }
        self.send_request(now, draft, target, purpose, attempts);
        if !self.remembers_nonce {
            self.challenges.clear();
        }
        true
    }

    /// Answers every challenge this phone remembers.
    fn add_credentials(&mut self, draft: &mut Draft) {
        let Some(password) = self.password.clone() else { return };
        draft.headers.retain(|h| !h.contains("uthorization: Digest"));
        let register = draft.method == "REGISTER";
        for (challenge, nc) in &mut self.challenges {
            if challenge.proxy == register {
                continue;
            }
            *nc += 1;
            let who = (self.user.as_str(), password.as_str());
            draft.headers.push(challenge.answer(who, &draft.method, &draft.uri, *nc));
        }
    }
}
