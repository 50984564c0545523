//! Calls everything that wasmilter.zig and the contract have, so that a test can see that all of it builds. No policy.

const std = @import("std");
const wm = @import("wasmilter");

pub const plugin = wm.Plugin{
    .name = "everything",
    .version = "1.0.0",
    .summary = "Calls everything",
    .licence = "Apache-2.0",
    .home_page = "https://example.org/",
    .grants = &.{"body"},
};

const Config = struct { name: []const u8 = "nobody", rate: f64 = 0.5, flag: bool = true, whole: u32 = 5 };
var config: Config = .{};

pub fn configure(given: Config) !void {
    config = given;
    if (config.whole > 9) wm.problem("/whole", "must be below 10");
    if (config.whole > 10) return error.TooMuch;
}

fn hook(which: []const u8) wm.HookVerdict {
    wm.fact("hook", which);
    wm.fact("client", wm.client.get().address.slice());
    return if (config.flag) .next else .{ .tempfail = .{ .code = 451, .enhanced = "4.3.0", .text = which } };
}

pub fn onConnect() wm.HookVerdict {
    return hook("connect");
}

pub fn onHelo() wm.HookVerdict {
    return hook("helo");
}

pub fn onMail() wm.HookVerdict {
    if (wm.envelope.sender().address.len == 0) return .{ .reject = .{ .code = 550, .text = "no null sender" } };
    return hook("mail");
}

pub fn onRcpt(recipient: wm.Mailbox) !wm.HookVerdict {
    wm.fact("recipient", recipient.address.slice());
    wm.fact("arguments", recipient.arguments.len);
    if (std.mem.eql(u8, recipient.local.slice(), "edit")) wm.addHeader("X", "y");
    if (std.mem.eql(u8, recipient.local.slice(), "fail")) return error.NotThatOne;
    if (std.mem.eql(u8, recipient.local.slice(), "service")) return .{ .failure = .{ .kind = .service, .detail = "none" } };
    return hook("rcpt");
}

fn failure(detail: []const u8) wm.Verdict {
    return .{ .failure = .{ .kind = .service, .detail = detail } };
}

fn outside() wm.Verdict {
    if (wm.store.set("key", "value", 60) == .err) return failure("set");
    switch (wm.store.get("key")) {
        .ok => |value| wm.fact("found", std.mem.eql(u8, value orelse "", "value")),
        .err => return failure("get"),
    }
    switch (wm.store.add("counter", 1, 60)) {
        .ok => |count| wm.fact("count", count),
        .err => |wrong| switch (wrong.tag) {
            .unavailable => return failure(wrong.value.unavailable.slice()),
            .limit => return failure(wrong.value.limit.slice()),
        },
    }
    if (wm.store.remove("key") == .err) return failure("remove");

    switch (wm.dns.addresses("example.org")) {
        .ok => |addresses| wm.fact("addresses", addresses),
        .err => |wrong| if (wrong.tag == .failed) return failure(wrong.value.failed.slice()),
    }
    if (wm.dns.texts("example.org") == .err) return failure("texts");
    switch (wm.dns.mailExchangers("example.org")) {
        .ok => |exchangers| if (exchangers.len > 0) wm.fact("exchanger", exchangers[0].host.slice()),
        .err => return failure("exchangers"),
    }
    if (wm.dns.names("192.0.2.1") == .err) return failure("names");

    const stream = switch (wm.services.open("echo")) {
        .ok => |stream| stream,
        .err => |wrong| return failure(if (wrong.tag == .@"unreachable") "unreachable" else "open"),
    };
    if (wm.services.write(stream, "hello") == .err) return failure("write");
    if (wm.services.finish(stream) == .err) return failure("finish");
    switch (wm.services.read(stream, 100)) {
        .ok => |bytes| wm.fact("answer", bytes),
        .err => return failure("read"),
    }
    wm.services.close(stream);
    wm.fact("late", wm.clock.now() > 1e9);
    wm.fact("random", wm.random.bytes(16).len);
    return .next;
}

pub fn decide() !wm.Verdict {
    if (wm.facts.get("spam.score")) |value| {
        if (value.tag == .number) wm.fact("score", value.value.number * config.rate);
    }
    wm.fact("helo", wm.client.connected().helo.slice());
    wm.fact("queue", wm.envelope.queueId());
    wm.fact("fields", wm.headers.all().len);
    const froms = wm.headers.get("From");
    if (froms.len > 0) wm.fact("from", wm.utf8(froms[0].value.slice()));
    wm.fact("froms", wm.headers.count("From"));
    const addresses = wm.headers.addresses("From");
    if (addresses.len > 0) wm.fact("address", addresses[0].address.slice());
    wm.fact("subjects", wm.headers.text("Subject"));
    wm.fact("recipients", wm.envelope.recipients().len);

    const parts = wm.parts.all();
    wm.fact("type", parts[0].media_type.slice());
    wm.fact("leaf", parts[0].kind == .leaf and parts[0].role == .body);
    wm.fact("text", wm.parts.text(0, 1000));
    wm.fact("size", wm.parts.size(0));
    _ = wm.parts.read(0, 0, 10);
    _ = wm.parts.readEntity(0, 0, 10);
    _ = wm.parts.headerFields(0);
    const message = wm.raw.read(0, wm.raw.size());
    wm.fact("raw", message.len);
    const blob = wm.output.create();
    wm.output.append(blob, message);
    wm.output.appendEntity(blob, 0);

    wm.log.err("error");
    wm.log.warn("warn");
    wm.log.info(config.name);
    wm.log.debug("debug");

    wm.addHeader("X-Add", "add");
    wm.insertHeader("X-Insert", "insert");
    wm.replaceHeader("X-Old", 1, "new");
    wm.removeHeader("X-Gone", 0);
    wm.setSubject("Größe");
    wm.replacePart(1, wm.newPart("text/plain", "new.txt", "replaced"));
    wm.removePart(2);
    wm.addPart(wm.newPart("text/plain", "added.txt", "added"));
    wm.appendText("below", "<p>below</p>");
    wm.prependText("above", "");
    wm.setSender("");
    wm.addRecipient("archive@example.org");
    wm.removeRecipient("bob@example.org");
    wm.edit(.{ .tag = .set_client, .value = .{ .set_client = .{ .address = .from("192.0.2.9"), .port = 0 } } });
    wm.fact("pi", 3.5);

    const wanted = wm.header("X-Verdict");
    if (std.mem.eql(u8, wanted, "accept")) return .accept;
    if (std.mem.eql(u8, wanted, "reject")) return wm.reject(550, "5.7.1", "no");
    if (std.mem.eql(u8, wanted, "tempfail")) return wm.tempfail(0, "", "");
    if (std.mem.eql(u8, wanted, "discard")) return .discard;
    if (std.mem.eql(u8, wanted, "quarantine")) return .{ .quarantine = "odd" };
    if (std.mem.eql(u8, wanted, "fail")) return .{ .failure = .{ .kind = .unsupported, .detail = "cannot" } };
    if (std.mem.eql(u8, wanted, "error")) return error.Odd;
    if (wanted.len > 0 and parts[wanted.len + 100].id > 0) return .accept;
    return outside();
}

pub const panic = wm.loggingPanic;

comptime {
    wm.exports(@This());
}
