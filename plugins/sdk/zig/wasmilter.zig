//! What a policy in Zig is written with, over the bindings of the contract (`contract.zig`, generated from the WIT).
//!
//! ```
//! const wm = @import("wasmilter");
//!
//! pub const plugin = wm.Plugin{ .name = "demo", .version = "0.1.0", .summary = "Refuses what says buy now." };
//! pub const Config = struct { phrase: []const u8 = "buy now" };
//! var config: Config = .{};
//!
//! pub fn configure(given: Config) !void {
//!     if (given.phrase.len == 0) wm.problem("/phrase", "must not be empty");
//!     config = given;
//! }
//!
//! pub fn decide() !wm.Verdict {
//!     if (wm.contains(wm.header("Subject"), config.phrase)) return wm.reject(550, "5.7.1", "not here");
//!     wm.addHeader("X-Checked", "yes");
//!     return .next;
//! }
//!
//! pub const panic = wm.panic;
//! comptime {
//!     wm.exports(@This());
//! }
//! ```
//!
//! A policy has `plugin`, may have `configure`, and has those of `decide`, `onConnect`, `onHelo`, `onMail` and `onRcpt` that its
//! world (wit/world.wit) exports. An error that one of them returns is a failure of kind `internal` with the error's name.
//!
//! Memory: `wm.allocator` never frees; what the host hands over and what is allocated lives until the call ends, what `configure`
//! makes lives as long as the plugin. Keep nothing of one call in a global variable.
//!
//! Import only what is used: the component asks for the interfaces whose functions the policy calls, if the world names them.

const std = @import("std");

/// The whole contract.
pub const contract = @import("contract.zig");
pub const client = contract.client;
pub const envelope = contract.envelope;
pub const headers = contract.headers;
pub const parts = contract.parts;
pub const raw = contract.raw;
pub const facts = contract.facts;
pub const output = contract.output;
pub const services = contract.services;
pub const dns = contract.dns;
pub const store = contract.store;
pub const clock = contract.clock;
pub const random = contract.random;
pub const Text = contract.Text;
pub const Mailbox = contract.types.Mailbox;

// ---- the plugin and its configuration

/// What the plugin says of itself.
pub const Plugin = struct {
    /// Short name in lower case, with dashes.
    name: []const u8,
    /// Semver.
    version: []const u8,
    /// One sentence.
    summary: []const u8 = "",
    /// SPDX expression.
    licence: []const u8 = "",
    home_page: []const u8 = "",
    /// Grants that the plugin can make use of.
    grants: []const []const u8 = &.{},
    /// JSON Schema of the configuration; `@embedFile("schema.json")`.
    config_schema: []const u8 = "{}",
};

/// Reports what is wrong with the configuration, from `configure`: where, as a JSON pointer (`/limits/0`), and what, in lower case
/// without a full stop. Report all problems at once.
pub fn problem(pointer: []const u8, message: []const u8) void {
    problems.append(allocator, .{ .path = Text.from(pointer), .message = Text.from(message) }) catch outOfMemory();
}

// ---- deciding

pub const Reply = struct {
    /// 500 to 599 for a rejection, 400 to 499 for a temporary failure; 0: the host's own.
    code: u32 = 0,
    /// Such as `5.7.1`; empty: the host's own.
    enhanced: []const u8 = "",
    text: []const u8 = "",
};

/// "I could not decide": the stage's `on_failure` then does. The detail is for the log: no message content, no secrets.
pub const Failure = struct {
    kind: contract.types.FailureKind,
    detail: []const u8,
};

/// What `decide` answers.
pub const Verdict = union(enum) {
    /// Go on with the next stage.
    next,
    /// Deliver; later stages do not run.
    accept,
    /// Refuse for good.
    reject: Reply,
    /// Refuse for now.
    tempfail: Reply,
    /// Answer 250, deliver to nobody.
    discard,
    /// Hold back, with a reason for the administrator.
    quarantine: []const u8,
    failure: Failure,
};

/// What the hooks before the message (`onConnect`, …) answer.
pub const HookVerdict = union(enum) {
    next,
    reject: Reply,
    tempfail: Reply,
    failure: Failure,
};

pub fn reject(code: u32, enhanced: []const u8, text: []const u8) Verdict {
    return .{ .reject = .{ .code = code, .enhanced = enhanced, .text = text } };
}

pub fn tempfail(code: u32, enhanced: []const u8, text: []const u8) Verdict {
    return .{ .tempfail = .{ .code = code, .enhanced = enhanced, .text = text } };
}

/// Publishes a fact, in `decide` and in hooks: a flag, a number, a text or a list of texts (`[]const Text`).
pub fn fact(name: []const u8, value: anytype) void {
    const Value = @TypeOf(value);
    published.append(allocator, .{ .name = Text.from(name), .value = if (Value == bool)
        .{ .tag = .flag, .value = .{ .flag = value } }
    else if (Value == []const Text)
        .{ .tag = .texts, .value = .{ .texts = .from(value) } }
    else switch (@typeInfo(Value)) {
        .int, .comptime_int => .{ .tag = .number, .value = .{ .number = @floatFromInt(value) } },
        .float, .comptime_float => .{ .tag = .number, .value = .{ .number = value } },
        else => .{ .tag = .text, .value = .{ .text = .from(value) } },
    } }) catch outOfMemory();
}

const Edit = contract.message_policy.Edit;

/// Asks for any edit of the contract, in `decide` only. The functions below make the usual ones. In order.
pub fn edit(wanted: Edit) void {
    edits.append(allocator, wanted) catch outOfMemory();
}

pub fn addHeader(name: []const u8, value: []const u8) void {
    edit(.{ .tag = .add_header, .value = .{ .add_header = .{ .name = .from(name), .value = .from(value) } } });
}

pub fn insertHeader(name: []const u8, value: []const u8) void {
    edit(.{ .tag = .insert_header, .value = .{ .insert_header = .{ .name = .from(name), .value = .from(value) } } });
}

/// Occurrences count from 1 at the top.
pub fn replaceHeader(name: []const u8, occurrence: u32, value: []const u8) void {
    edit(.{ .tag = .replace_header, .value = .{ .replace_header = .{
        .name = .from(name),
        .occurrence = occurrence,
        .value = .from(value),
    } } });
}

/// Occurrence 0 removes every one.
pub fn removeHeader(name: []const u8, occurrence: u32) void {
    edit(.{ .tag = .remove_header, .value = .{ .remove_header = .{ .name = .from(name), .occurrence = occurrence } } });
}

pub fn setSubject(text: []const u8) void {
    edit(.{ .tag = .set_subject, .value = .{ .set_subject = .from(text) } });
}

/// A part with its content in memory; an empty file name makes no attachment.
pub fn newPart(media_type: []const u8, file_name: []const u8, content: []const u8) contract.message_policy.NewPart {
    return .{
        .media_type = .from(media_type),
        .file_name = .from(file_name),
        .content = .{ .tag = .@"inline", .value = .{ .@"inline" = .from(content) } },
    };
}

pub fn addPart(part: contract.message_policy.NewPart) void {
    edit(.{ .tag = .add_part, .value = .{ .add_part = part } });
}

pub fn replacePart(part: u32, replacement: contract.message_policy.NewPart) void {
    edit(.{ .tag = .replace_part, .value = .{ .replace_part = .{ .part = part, .replacement = replacement } } });
}

pub fn removePart(part: u32) void {
    edit(.{ .tag = .remove_part, .value = .{ .remove_part = part } });
}

/// Either may be empty: that kind of part is then left alone.
pub fn appendText(plain: []const u8, html: []const u8) void {
    edit(.{ .tag = .append_text, .value = .{ .append_text = .{ .plain = .from(plain), .html = .from(html) } } });
}

pub fn prependText(plain: []const u8, html: []const u8) void {
    edit(.{ .tag = .prepend_text, .value = .{ .prepend_text = .{ .plain = .from(plain), .html = .from(html) } } });
}

pub fn setSender(address: []const u8) void {
    edit(.{ .tag = .set_sender, .value = .{ .set_sender = .{ .address = .from(address) } } });
}

pub fn addRecipient(address: []const u8) void {
    edit(.{ .tag = .add_recipient, .value = .{ .add_recipient = .{ .address = .from(address) } } });
}

pub fn removeRecipient(address: []const u8) void {
    edit(.{ .tag = .remove_recipient, .value = .{ .remove_recipient = .from(address) } });
}

// ---- the message at hand

/// The first field of that name, decoded; empty when there is none. A message may have several: `headers.text`.
pub fn header(name: []const u8) []const u8 {
    const fields = headers.text(name);
    return if (fields.len > 0) fields[0].slice() else "";
}

// ---- text

/// Whether a text contains another, without regard to the case of A to Z.
pub fn contains(text: []const u8, wanted: []const u8) bool {
    return find(text, wanted) != null;
}

/// Where a text contains another, without regard to the case of A to Z.
pub fn find(text: []const u8, wanted: []const u8) ?usize {
    var at: usize = 0;
    while (at + wanted.len <= text.len) : (at += 1) {
        if (std.ascii.eqlIgnoreCase(text[at..][0..wanted.len], wanted)) return at;
    }
    return null;
}

/// A text by a format of `std.fmt`.
pub fn print(comptime format: []const u8, arguments: anytype) []const u8 {
    return std.fmt.allocPrint(allocator, format, arguments) catch outOfMemory();
}

/// Bytes of the message as UTF-8; what was not valid becomes U+FFFD. Text that goes to the host must be valid, or the call ends
/// with the failure `trap`.
pub fn utf8(bytes: []const u8) []const u8 {
    return print("{f}", .{std.unicode.fmtUtf8(bytes)});
}

/// Never log message content.
pub const log = struct {
    pub fn err(line: []const u8) void {
        contract.log.write(.@"error", line);
    }
    pub fn warn(line: []const u8) void {
        contract.log.write(.warn, line);
    }
    pub fn info(line: []const u8) void {
        contract.log.write(.info, line);
    }
    pub fn debug(line: []const u8) void {
        contract.log.write(.debug, line);
    }
};

/// A bug of the plugin (an index out of bounds, `unreachable`, …) ends the call with the failure `trap`. Where the world imports `log`, take
/// `wm.loggingPanic`: the log then says which bug.
pub const panic = std.debug.FullPanic(struct {
    fn end(_: []const u8, _: ?usize) noreturn {
        @trap();
    }
}.end);

pub const loggingPanic = std.debug.FullPanic(struct {
    fn end(words: []const u8, _: ?usize) noreturn {
        log.err(words);
        @trap();
    }
}.end);

// ---- memory

/// Hands out memory upwards from the end of the program's own and takes none back one by one. What a call took is taken back as a
/// whole when the next call begins.
pub const allocator = std.mem.Allocator{ .ptr = undefined, .vtable = &.{
    .alloc = allocate,
    .resize = std.mem.Allocator.noResize,
    .remap = std.mem.Allocator.noRemap,
    .free = std.mem.Allocator.noFree,
} };

const page = 65536;
/// Below is what stays, between what this call took.
var bottom: usize = 0;
var top: usize = 0;
/// A call has ended; its results are still to be read.
var over = false;

fn allocate(_: *anyopaque, length: usize, alignment: std.mem.Alignment, _: usize) ?[*]u8 {
    return take(length, alignment.toByteUnits());
}

fn take(length: usize, alignment: usize) ?[*]u8 {
    callBegins();
    const at = (top + alignment - 1) & ~(alignment - 1);
    const end, const overflow = @addWithOverflow(at, length);
    if (overflow != 0 or end > std.math.maxInt(usize) - page) return null;
    const pages = @wasmMemorySize(0);
    const needed = (end + page - 1) / page;
    if (needed > pages and @wasmMemoryGrow(0, needed - pages) < 0) return null;
    top = end;
    return @ptrFromInt(at);
}

fn callBegins() void {
    if (top == 0) {
        // By the linker: the first byte that nothing of the program uses.
        top = @intFromPtr(@extern(*anyopaque, .{ .name = "__heap_base" }));
        bottom = top;
    }
    if (over) top = bottom;
    over = false;
}

fn outOfMemory() noreturn {
    @panic("out of memory");
}

/// By which the host hands over arguments and results.
fn reallocate(old: ?[*]const u8, old_length: usize, alignment: usize, length: usize) callconv(.c) [*]u8 {
    const new = take(length, alignment) orelse outOfMemory();
    if (old) |bytes| @memcpy(new[0..@min(old_length, length)], bytes[0..@min(old_length, length)]);
    return new;
}

// ---- what the host calls

var problems: std.ArrayList(contract.lifecycle.Problem) = .empty;
var published: std.ArrayList(contract.types.Fact) = .empty;
var edits: std.ArrayList(Edit) = .empty;

fn begin() void {
    callBegins();
    problems = .empty;
    published = .empty;
    edits = .empty;
}

/// Exports a policy: `comptime { wm.exports(@This()); }` in `policy.zig`.
pub fn exports(comptime policy: type) void {
    const Calls = CallsOf(policy);
    @export(&reallocate, .{ .name = "cabi_realloc" });
    @export(&Calls.describe, .{ .name = function("lifecycle", "describe") });
    @export(&Calls.configure, .{ .name = function("lifecycle", "configure") });
    if (@hasDecl(policy, "decide")) @export(&Calls.decide, .{ .name = function("message-policy", "decide") });
    if (@hasDecl(policy, "onConnect")) @export(&Calls.connect, .{ .name = function("on-connect", "connect") });
    if (@hasDecl(policy, "onHelo")) @export(&Calls.helo, .{ .name = function("on-helo", "helo") });
    if (@hasDecl(policy, "onMail")) @export(&Calls.mail, .{ .name = function("on-mail", "mail") });
    if (@hasDecl(policy, "onRcpt")) @export(&Calls.rcpt, .{ .name = function("on-rcpt", "rcpt") });
}

fn function(comptime interface: []const u8, comptime name: []const u8) []const u8 {
    return contract.package ++ "/" ++ interface ++ "@" ++ contract.version ++ "#" ++ name;
}

fn CallsOf(comptime policy: type) type {
    return struct {
        var info: contract.lifecycle.PluginInfo = undefined;
        var configured: contract.Result(void, contract.List(contract.lifecycle.Problem)) = undefined;
        var decided: contract.Result(contract.message_policy.Decision, contract.types.Failure) = undefined;
        var answered: contract.Result(contract.hook_types.HookDecision, contract.types.Failure) = undefined;

        fn describe() callconv(.c) *const anyopaque {
            begin();
            defer over = true;
            const plugin: Plugin = policy.plugin;
            const grants = allocator.alloc(Text, plugin.grants.len) catch outOfMemory();
            for (grants, plugin.grants) |*grant, name| grant.* = .from(name);
            info = .{
                .name = .from(plugin.name),
                .version = .from(plugin.version),
                .summary = .from(plugin.summary),
                .licence = .from(plugin.licence),
                .home_page = .from(plugin.home_page),
                .grants = .from(grants),
                .config_schema = .from(plugin.config_schema),
            };
            return &info;
        }

        fn configure(text: [*]const u8, length: usize) callconv(.c) *const anyopaque {
            begin();
            if (@hasDecl(policy, "configure")) read(text[0..length]);
            configured = if (problems.items.len == 0)
                .{ .is_err = false, .value = .{ .ok = {} } }
            else
                .{ .is_err = true, .value = .{ .err = .from(problems.items) } };
            bottom = top;
            over = true;
            return &configured;
        }

        /// Reads the configuration into the type that the policy's `configure` takes.
        fn read(text: []const u8) void {
            const Config = @TypeOf(@as(std.meta.ArgsTuple(@TypeOf(policy.configure)), undefined)[0]);
            const config = std.json.parseFromSliceLeaky(Config, allocator, text, .{}) catch |wrong| {
                return problem("", switch (wrong) {
                    error.UnknownField => "has a key that this plugin does not know",
                    error.MissingField => "lacks a key that is needed",
                    error.OutOfMemory => outOfMemory(),
                    else => print("has a value of the wrong type, or out of range ({s})", .{@errorName(wrong)}),
                });
            };
            const result = policy.configure(config);
            if (@typeInfo(@TypeOf(result)) == .error_union) {
                result catch |wrong| problem("", print("can not be used ({s})", .{@errorName(wrong)}));
            }
        }

        fn decide() callconv(.c) *const anyopaque {
            begin();
            defer over = true;
            const result: anyerror!Verdict = policy.decide();
            const verdict: contract.types.Verdict = switch (result catch |wrong| Verdict{ .failure = failed(wrong) }) {
                .next => .{ .tag = .next, .value = .{ .next = {} } },
                .accept => .{ .tag = .accept, .value = .{ .accept = {} } },
                .reject => |reply| .{ .tag = .reject, .value = .{ .reject = lowered(reply) } },
                .tempfail => |reply| .{ .tag = .tempfail, .value = .{ .tempfail = lowered(reply) } },
                .discard => .{ .tag = .discard, .value = .{ .discard = {} } },
                .quarantine => |reason| .{ .tag = .quarantine, .value = .{ .quarantine = .from(reason) } },
                .failure => |failure| {
                    decided = .{ .is_err = true, .value = .{ .err = .{
                        .kind = failure.kind,
                        .detail = .from(failure.detail),
                    } } };
                    return &decided;
                },
            };
            decided = .{ .is_err = false, .value = .{ .ok = .{
                .verdict = verdict,
                .edits = .from(edits.items),
                .facts = .from(published.items),
            } } };
            return &decided;
        }

        fn connect() callconv(.c) *const anyopaque {
            begin();
            return answer(policy.onConnect());
        }

        fn helo() callconv(.c) *const anyopaque {
            begin();
            return answer(policy.onHelo());
        }

        fn mail() callconv(.c) *const anyopaque {
            begin();
            return answer(policy.onMail());
        }

        /// A record as a parameter comes field by field.
        fn rcpt(
            address: Raw,
            address_length: usize,
            local: Raw,
            local_length: usize,
            domain: Raw,
            domain_length: usize,
            arguments: Raw,
            arguments_length: usize,
        ) callconv(.c) *const anyopaque {
            begin();
            return answer(policy.onRcpt(Mailbox{
                .address = .{ .ptr = address, .len = address_length },
                .local = .{ .ptr = local, .len = local_length },
                .domain = .{ .ptr = domain, .len = domain_length },
                .arguments = .{ .ptr = arguments, .len = arguments_length },
            }));
        }

        const Raw = usize;

        fn answer(result: anyerror!HookVerdict) *const anyopaque {
            defer over = true;
            const edited = Failure{ .kind = .internal, .detail = "a bug of the plugin: a hook asks for edits" };
            const given = result catch |wrong| HookVerdict{ .failure = failed(wrong) };
            const verdict: contract.hook_types.HookVerdict = switch (if (edits.items.len > 0) HookVerdict{ .failure = edited } else given) {
                .next => .{ .tag = .next, .value = .{ .next = {} } },
                .reject => |reply| .{ .tag = .reject, .value = .{ .reject = lowered(reply) } },
                .tempfail => |reply| .{ .tag = .tempfail, .value = .{ .tempfail = lowered(reply) } },
                .failure => |failure| {
                    answered = .{ .is_err = true, .value = .{ .err = .{
                        .kind = failure.kind,
                        .detail = .from(failure.detail),
                    } } };
                    return &answered;
                },
            };
            answered = .{ .is_err = false, .value = .{ .ok = .{ .verdict = verdict, .facts = .from(published.items) } } };
            return &answered;
        }
    };
}

fn failed(wrong: anyerror) Failure {
    return .{ .kind = .internal, .detail = print("error.{s}", .{@errorName(wrong)}) };
}

fn lowered(reply: Reply) contract.types.Reply {
    return .{ .code = reply.code, .enhanced = .from(reply.enhanced), .text = .from(reply.text) };
}
