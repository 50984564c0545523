//! Rejects mail by phrases in its subject, and marks the rest.

const std = @import("std");
const wm = @import("wasmilter");

pub const plugin = wm.Plugin{
    .name = "{{name}}",
    .version = "0.1.0",
    .summary = "Rejects mail by phrases in its subject, and marks the rest",
    .grants = &.{"headers"},
    .config_schema = @embedFile("schema.json"),
};

/// `[stage.config]`
const Config = struct {
    phrases: []const []const u8,
};

/// Set by configure: there for every message.
var config: Config = undefined;

/// Called once, when the plugin is loaded.
pub fn configure(given: Config) void {
    if (given.phrases.len == 0) wm.problem("/phrases", "must have at least one phrase");
    for (given.phrases, 0..) |phrase, at| {
        if (std.mem.trim(u8, phrase, " \t\r\n").len == 0) wm.problem(wm.print("/phrases/{d}", .{at}), "must not be empty");
    }
    config = given;
}

/// Called for every message, each time in a sandbox of its own.
pub fn decide() wm.Verdict {
    const subject = wm.header("Subject");
    for (config.phrases) |phrase| {
        if (!wm.contains(subject, phrase)) continue;
        wm.fact("phrase", phrase);
        return wm.reject(550, "5.7.1", wm.print("subject not accepted: {s}", .{phrase}));
    }
    wm.addHeader("X-Checked-By", "{{name}}");
    return .next;
}

/// Bugs, such as an index out of bounds, end up in the log.
pub const panic = wm.loggingPanic;

comptime {
    wm.exports(@This());
}
