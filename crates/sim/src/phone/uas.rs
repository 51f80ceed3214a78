//! The called side of a phone: RFC 3261 §8.2, §9.2, §13.3, §15.1.2, §17.2 and RFC 6026.

use std::rc::Rc;

use bytes::Bytes;
use sip_core::flow::{ConnectionId, Transport};
use sip_core::time::Instant;

use super::agent::{Accepted, Agent, Alarm, Call, GIVE_UP, Out, Server, T1, T2};
use super::draft::{Reply, Target, sdp};
use super::plan::{AnswerPlan, CallPlan, Say};
use crate::heard::Heard;

impl Agent {
    pub(super) fn receive_request(
        &mut self,
        now: Instant,
        message: &Rc<Heard>,
        bytes: &Bytes,
        from: Target,
    ) {
        if message.method == "ACK" {
            return self.receive_ack(now, message, from);
        }
        let key = message.transaction_key(&message.method);
        if let Some(known) = self.servers.iter().position(|s| s.key == key) {
            return self.repeat_last(known);
        }
        let server = self.servers.len();
        self.servers.push(Server {
            key,
            request: Rc::clone(message),
            reply: from,
            last: None,
            final_status: 0,
            final_sent: now,
            gap: T1,
            acked: false,
            call: None,
        });
        match message.method.as_str() {
            "INVITE" => self.receive_invite(now, server, message, bytes, from),
            "CANCEL" => self.receive_cancel(now, server, message),
            "BYE" => self.receive_bye(now, server, message),
            _ => {
                let status = self.other_status;
                if status != 0 {
                    self.respond(now, server, status, "");
                }
            }
        }
    }

    /// A retransmission. In the Accepted state of RFC 6026 it is absorbed: the 2xx repeats by its own clock.
    fn repeat_last(&mut self, server: usize) {
        let Some(s) = self.servers.get(server) else { return };
        let accepted = s.request.method == "INVITE" && (200..300).contains(&s.final_status);
        if let (Some(last), false) = (&s.last, accepted || s.acked) {
            self.out.push(Out::new(s.reply, last.clone()));
        }
    }

    fn receive_invite(
        &mut self,
        now: Instant,
        server: usize,
        message: &Rc<Heard>,
        bytes: &Bytes,
        from: Target,
    ) {
        if !message.to_tag.is_empty() {
            return self.receive_reinvite(now, server, message);
        }
        // RFC 3261 §8.2.2.2: against those under way; one that was challenged has ended, and comes again.
        let merged = self.servers.iter().take(server).any(|s| {
            let r = &s.request;
            !matches!(s.final_status, 401 | 407)
                && r.method == "INVITE"
                && r.call_id == message.call_id
                && r.from_tag == message.from_tag
                && r.cseq == message.cseq
        });
        if merged {
            return self.respond(now, server, 482, "");
        }
        let number = self.calls_received.min(self.answers.len().saturating_sub(1));
        self.calls_received += 1;
        let answer = self.answers.get(number).map(|a| a.borrow().clone());
        let strict_requests = answer.as_ref().is_some_and(|answer| answer.strict_requests);
        let tag = self.unique("t");
        let call = self.calls.len();
        self.calls.push(Call {
            call_id: message.call_id.clone(),
            local: format!("{};tag={tag}", message.to),
            remote: message.from.clone(),
            remote_tag: message.from_tag.clone(),
            routes: message.record_routes.clone(),
            target: message.contacts.first().cloned().unwrap_or_default(),
            cseq: 1000,
            up: false,
            over: false,
            times: None,
            cancel_wanted: false,
            invite: server,
            plan: CallPlan { strict_requests, ..CallPlan::default() },
            answer: answer.unwrap_or_else(|| AnswerPlan {
                steps: vec![Say {
                    after: T1 / 10,
                    status: 180,
                    sdp: false,
                    as_other: false,
                    again: false,
                }],
                ..AnswerPlan::default()
            }),
            accepted: Vec::new(),
            proxy_tried: 0,
        });
        if let Some(s) = self.servers.get_mut(server) {
            s.call = Some(call);
        }
        if self.calls.get(call).is_some_and(|c| c.answer.reflects) {
            let target = Target { connection: ConnectionId::NONE, ..from };
            self.out.push(Out::new(target, bytes.clone()));
        }
        self.schedule_step(now, call, 0);
    }

    fn schedule_step(&mut self, now: Instant, call: usize, step: usize) {
        if let Some(say) = self.calls.get(call).and_then(|c| c.answer.steps.get(step)) {
            self.alarm(now + say.after, Alarm::Say { call, step });
        }
    }

    /// The next response of the plan.
    pub(super) fn say(&mut self, now: Instant, call: usize, step: usize) {
        let Some(c) = self.calls.get(call) else { return };
        let Some(say) = c.answer.steps.get(step).cloned() else { return };
        let server = c.invite;
        let answered = self.servers.get(server).is_some_and(|s| s.final_status >= 300);
        if c.over || (answered && !c.answer.insists) {
            return;
        }
        if say.again {
            let again =
                self.servers.get(server).and_then(|s| Some(Out::new(s.reply, s.last.clone()?)));
            self.out.extend(again);
        } else {
            let mark = if say.as_other { "other" } else { "" };
            self.respond(now, server, say.status, mark);
        }
        self.schedule_step(now, call, step + 1);
    }

    /// Sends a response and starts what RFC 3261 §17.2.1 or §13.3.1.4 ask for. `mark` makes the To tag another one.
    pub(super) fn respond(&mut self, now: Instant, server: usize, status: u16, mark: &str) {
        let Some(s) = self.servers.get(server) else { return };
        let (request, reply, call) = (Rc::clone(&s.request), s.reply, s.call);
        let invite = request.method == "INVITE";
        let own = call.and_then(|c| self.calls.get(c));
        let tag = match own {
            Some(c) => c.local.rsplit_once(";tag=").map_or("", |(_, tag)| tag).to_owned() + mark,
            None => format!("t{}{server}", self.name),
        };
        let mut headers = Vec::new();
        let makes_dialog = invite && status > 100 && status < 300;
        if makes_dialog {
            for route in own.map(|c| &c.answer.record_routes).into_iter().flatten() {
                headers.push(format!("Record-Route: {route}"));
            }
            headers.extend(request.record_routes.iter().map(|r| format!("Record-Route: {r}")));
            headers.push(self.contact_line());
        }
        if let Some(c) = own.filter(|c| c.answer.reliable && (101..200).contains(&status)) {
            let number = c.answer.steps.iter().position(|say| say.status == status).unwrap_or(0);
            headers.push("Require: 100rel".to_owned());
            headers.push(format!("RSeq: {}", number + 1));
        }
        if status > 100 {
            headers.extend(own.map(|c| c.answer.headers.clone()).unwrap_or_default());
        }
        let with_body = invite && (status == 183 || (200..300).contains(&status));
        let body = with_body.then(|| sdp(&self.user, self.claimed));
        let tag = if status == 100 { "" } else { &tag };
        let mut wire = Reply { to: &request, status, tag, headers: &headers, body }.write();
        for (from, to) in own.into_iter().flat_map(|c| &c.answer.tampers) {
            wire = String::from_utf8_lossy(&wire).replacen(from, to, 1).into();
        }
        self.out.push(Out::new(reply, wire.clone()));
        let Some(s) = self.servers.get_mut(server) else { return };
        s.last = Some(wire.clone());
        if status < 200 {
            return;
        }
        s.final_status = status;
        s.final_sent = now;
        if invite && status < 300 {
            self.accept(now, server, tag, wire);
        } else if invite && reply.transport == Transport::Udp {
            self.alarm(now + T1, Alarm::RepeatFinal { server });
        }
    }

    fn accept(&mut self, now: Instant, server: usize, tag: &str, wire: Bytes) {
        let Some(s) = self.servers.get(server) else { return };
        let (cseq, Some(call)) = (s.request.cseq, s.call) else { return };
        let Some(c) = self.calls.get_mut(call) else { return };
        c.up = true;
        let which = c.accepted.len();
        let tag = if s.request.to_tag.is_empty() { tag } else { &s.request.to_tag };
        c.accepted.push(Accepted {
            server,
            tag: tag.to_owned(),
            cseq,
            wire,
            gap: T1,
            acked: false,
        });
        self.alarm(now + T1, Alarm::RepeatAccepted { call, which });
        self.alarm(now + GIVE_UP, Alarm::NeverAcked { call, which });
    }

    /// Timer G, until Timer H.
    pub(super) fn repeat_final(&mut self, now: Instant, server: usize) {
        let Some(s) = self.servers.get_mut(server) else { return };
        if s.acked || now.since(s.final_sent) >= GIVE_UP {
            return;
        }
        s.gap = (s.gap * 2).min(T2);
        let (gap, reply, last) = (s.gap, s.reply, s.last.clone());
        self.out.extend(last.map(|bytes| Out::new(reply, bytes)));
        self.alarm(now + gap, Alarm::RepeatFinal { server });
    }

    pub(super) fn repeat_accepted(&mut self, now: Instant, call: usize, which: usize) {
        let Some(a) = self.calls.get_mut(call).and_then(|c| c.accepted.get_mut(which)) else {
            return;
        };
        let Some(s) = self.servers.get(a.server) else { return };
        if a.acked || now.since(s.final_sent) >= GIVE_UP {
            return;
        }
        a.gap = (a.gap * 2).min(T2);
        self.out.push(Out::new(s.reply, a.wire.clone()));
        let at = now + a.gap;
        self.alarm(at, Alarm::RepeatAccepted { call, which });
    }

    /// RFC 3261 §13.3.1.4: no ACK for 64*T1: the session ends with a BYE.
    pub(super) fn never_acked(&mut self, now: Instant, call: usize, which: usize) {
        let Some(c) = self.calls.get(call) else { return };
        if c.accepted.get(which).is_some_and(|a| !a.acked && !a.tag.ends_with("other")) {
            self.hang_up(now, call);
        }
    }

    fn receive_ack(&mut self, now: Instant, message: &Heard, from: Target) {
        let key = message.transaction_key("INVITE");
        let refused = self.servers.iter_mut().find(|s| s.key == key && s.final_status >= 300);
        if let Some(server) = refused {
            server.acked = true;
            return;
        }
        let Some(call) = self.calls.iter().position(|c| {
            c.call_id == message.call_id
                && c.accepted.iter().any(|a| a.tag == message.to_tag && a.cseq == message.cseq)
        }) else {
            self.heard.push(("stray".to_owned(), true));
            return;
        };
        let Some(c) = self.calls.get_mut(call) else { return };
        let first = c.accepted.iter().all(|a| !a.acked);
        for a in &mut c.accepted {
            a.acked |= a.tag == message.to_tag && a.cseq == message.cseq;
        }
        if c.answer.answers_ack {
            let wire =
                Reply { to: message, status: 200, tag: "", headers: &[], body: None }.write();
            self.out.push(Out::new(from, wire));
        }
        let (reinvite, hang_up) = (c.answer.reinvite_after, c.answer.hang_up_after);
        if !first {
            return;
        }
        if let Some(after) = reinvite {
            self.alarm(now + after, Alarm::Reinvite { call });
        }
        if let Some(after) = hang_up {
            self.alarm(now + after, Alarm::HangUp { call });
        }
    }

    fn receive_cancel(&mut self, now: Instant, server: usize, message: &Heard) {
        let key = message.transaction_key("INVITE");
        let Some(invite) = self.servers.iter().position(|s| s.key == key) else {
            return self.respond(now, server, 481, "");
        };
        let (status, call) =
            self.servers.get(invite).map_or((0, None), |s| (s.final_status, s.call));
        let plan =
            call.and_then(|c| self.calls.get(c)).map(|c| c.answer.clone()).unwrap_or_default();
        if plan.deaf_to_cancel {
            return;
        }
        self.respond(now, server, 200, "");
        if status != 0 {
            return;
        }
        if let Some(c) = call.and_then(|c| self.calls.get_mut(c)) {
            c.over = true;
        }
        if !plan.never_487 {
            self.respond(now, invite, 487, "");
        }
    }

    /// The call of an in-dialog request: ours by Call-ID and both tags.
    fn call_of(&self, message: &Heard) -> Option<usize> {
        self.calls.iter().position(|c| {
            c.call_id == message.call_id
                && c.remote_tag == message.from_tag
                && (c.local.ends_with(&format!(";tag={}", message.to_tag))
                    || c.accepted.iter().any(|a| a.tag == message.to_tag))
        })
    }

    fn receive_bye(&mut self, now: Instant, server: usize, message: &Heard) {
        let Some(call) = self.call_of(message) else {
            return self.respond(now, server, 481, "");
        };
        self.finish(now, call);
        if let Some(c) = self.calls.get_mut(call) {
            // RFC 3261 §15.1.2: nobody waits for an ACK of an ended call.
            for a in &mut c.accepted {
                a.acked = true;
            }
        }
        self.respond(now, server, 200, "");
    }

    fn receive_reinvite(&mut self, now: Instant, server: usize, message: &Heard) {
        let Some(call) =
            self.call_of(message).filter(|c| self.calls.get(*c).is_some_and(|c| !c.over))
        else {
            return self.respond(now, server, 481, "");
        };
        if let (Some(c), Some(contact)) = (self.calls.get_mut(call), message.contacts.first()) {
            c.target.clone_from(contact);
        }
        if let Some(s) = self.servers.get_mut(server) {
            s.call = Some(call);
        }
        self.respond(now, server, 200, "");
    }
}
