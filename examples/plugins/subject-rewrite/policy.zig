//! Rewrites subjects by rules: marks mail from outside, takes out what lists and mail programs pile up, replaces text.

const std = @import("std");
const wm = @import("wasmilter");

pub const plugin = wm.Plugin{
    .name = "subject-rewrite",
    .version = "1.0.0",
    .summary = "Rewrites subjects by rules: marks by sender, repeated Re: and Fwd:, text to replace",
    .licence = "Apache-2.0",
    .grants = &.{ "envelope", "headers" },
    .config_schema = @embedFile("schema.json"),
};

/// `[stage.config]`
const Config = struct {
    internal_domains: []const []const u8 = &.{},
    collapse: bool = false,
    rules: []const Rule = &.{},
};

const Rule = struct {
    when: enum { always, external, internal } = .always,
    prefix: ?[]const u8 = null,
    find: ?[]const u8 = null,
    replace: []const u8 = "",
};

/// Set by configure: there for every message.
var config: Config = .{};

pub fn configure(given: Config) void {
    config = given;
    for (config.rules, 0..) |rule, at| {
        if ((rule.prefix == null) == (rule.find == null)) {
            wm.problem(wm.print("/rules/{d}", .{at}), "must have either `prefix` or `find`");
        }
        if (rule.prefix) |prefix| {
            if (prefix.len == 0) wm.problem(wm.print("/rules/{d}/prefix", .{at}), "must not be empty");
        }
        if (rule.find) |find| {
            if (std.mem.trim(u8, find, "*").len == 0) wm.problem(wm.print("/rules/{d}/find", .{at}), "must have more than `*`");
        }
        if (rule.when != .always and config.internal_domains.len == 0) {
            wm.problem(wm.print("/rules/{d}/when", .{at}), "needs internal_domains to tell who is internal");
        }
    }
}

pub fn decide() !wm.Verdict {
    const fields = wm.headers.text("Subject");
    if (fields.len == 0) return .next;
    const subject = fields[0].slice();

    var text = if (config.collapse) try collapse(subject) else subject;
    const internal = isInternal();
    for (config.rules) |rule| {
        switch (rule.when) {
            .always => {},
            .external => if (internal) continue,
            .internal => if (!internal) continue,
        }
        if (rule.find) |find| text = try replaceAll(text, find, rule.replace);
        if (rule.prefix) |prefix| text = wm.print("{s}{s}", .{ prefix, try without(text, prefix) });
    }
    text = trim(text);

    // Nothing left is no subject: the old one says more.
    const changed = text.len > 0 and !std.mem.eql(u8, text, subject);
    if (changed) wm.setSubject(cut(text));
    wm.fact("changed", changed);
    return .next;
}

/// Whether the sender authenticated, or its domain is one of ours. That the domain is genuine is for SPF and DMARC to say.
fn isInternal() bool {
    if (wm.client.get().auth_user.len > 0) return true;
    const domain = wm.envelope.sender().domain.slice();
    for (config.internal_domains) |ours| {
        if (std.ascii.eqlIgnoreCase(domain, ours)) return true;
    }
    return false;
}

// ---- marks of replies and forwarded mail

const Mark = struct {
    text: []const u8,
    /// What mail programs write for it, in several languages.
    spellings: []const []const u8,
};

const marks = [_]Mark{
    .{ .text = "Re: ", .spellings = &.{ "re", "aw", "antw", "sv", "vs", "odp" } },
    .{ .text = "Fwd: ", .spellings = &.{ "fwd", "fw", "wg", "tr", "rv", "vl" } },
};

/// `AW: Re: RE: Fwd: lunch` → `Re: Fwd: lunch`: marks at the beginning, each kind once, where it stood first.
fn collapse(subject: []const u8) ![]const u8 {
    var seen: [marks.len]bool = @splat(false);
    var text: []const u8 = "";
    var rest = subject;
    while (firstMark(rest)) |found| {
        if (!seen[found.kind]) text = wm.print("{s}{s}", .{ text, marks[found.kind].text });
        seen[found.kind] = true;
        rest = trim(rest[found.length..]);
    }
    return wm.print("{s}{s}", .{ text, rest });
}

/// The mark that a text begins with, and its length with the colon.
fn firstMark(text: []const u8) ?struct { kind: usize, length: usize } {
    const colon = std.mem.indexOfScalar(u8, text, ':') orelse return null;
    const word = trim(text[0..colon]);
    for (marks, 0..) |mark, kind| {
        for (mark.spellings) |spelling| {
            if (std.ascii.eqlIgnoreCase(word, spelling)) return .{ .kind = kind, .length = colon + 1 };
        }
    }
    return null;
}

// ---- text and patterns

/// Takes a text out wherever it stands.
fn without(text: []const u8, unwanted: []const u8) ![]const u8 {
    var result: std.ArrayList(u8) = .empty;
    var rest = text;
    while (wm.find(rest, unwanted)) |at| {
        try result.appendSlice(wm.allocator, rest[0..at]);
        rest = rest[at + unwanted.len ..];
    }
    try result.appendSlice(wm.allocator, rest);
    return result.items;
}

/// Replaces a pattern wherever it stands.
fn replaceAll(text: []const u8, pattern: []const u8, by: []const u8) ![]const u8 {
    var result: std.ArrayList(u8) = .empty;
    var rest = text;
    while (firstMatch(rest, pattern)) |match| {
        try result.appendSlice(wm.allocator, rest[0..match.start]);
        try result.appendSlice(wm.allocator, by);
        rest = rest[match.end..];
    }
    try result.appendSlice(wm.allocator, rest);
    return result.items;
}

/// The first place where a pattern stands; never an empty one. A `*` at its beginning or end goes to that end of the text.
fn firstMatch(text: []const u8, pattern: []const u8) ?struct { start: usize, end: usize } {
    var pieces = std.mem.splitScalar(u8, pattern, '*');
    const first = pieces.first();
    const start = wm.find(text, first) orelse return null;
    var end = start + first.len;
    while (pieces.next()) |piece| {
        if (piece.len == 0 and pieces.peek() == null) {
            end = text.len;
        } else {
            end += (wm.find(text[end..], piece) orelse return null) + piece.len;
        }
    }
    return if (end > start) .{ .start = start, .end = end } else null;
}

/// The host refuses subjects of several thousand bytes, and with them the whole decision: nobody shall get by unmarked that way.
const longest = 2000;

fn cut(text: []const u8) []const u8 {
    if (text.len <= longest) return text;
    var end: usize = longest;
    // Not within a character.
    while (end > 0 and text[end] & 0xC0 == 0x80) end -= 1;
    return wm.print("{s}…", .{text[0..end]});
}

fn trim(text: []const u8) []const u8 {
    return std.mem.trim(u8, text, " \t\r\n");
}

pub const panic = wm.loggingPanic;

comptime {
    wm.exports(@This());
}
