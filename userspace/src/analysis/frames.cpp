// SPDX-License-Identifier: Apache-2.0
#include "analysis/frames.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "analysis/calls.hpp"
#include "analysis/function_name.hpp"
#include "util/text.hpp"

namespace loopwatch {
namespace {

constexpr std::string_view shim_module = "libloopwatch_preload";
constexpr std::string_view libc_modules[] = {
    "libc.so", "libc-2",  "libpthread", "librt.so", "libdl.so",   "libanl.so", "libresolv",
    "libnss_", "libm.so", "ld-linux",   "[vdso]",   "linux-vdso", shim_module,
};
constexpr std::string_view library_modules[] = {"libstdc++", "libc++", "libgcc_s"};
constexpr std::string_view installed[] = {"/usr/lib/", "/usr/lib64/", "/lib/", "/lib64/"};
constexpr std::string_view installed_headers[] = {
    "/usr/include/", "/usr/local/include/", "/usr/lib/gcc/", "/usr/lib/llvm", "/rustc/", "/usr/src/rustc-"};
constexpr std::string_view cargo_packages = "/.cargo/registry/";
constexpr std::string_view runtime_names[] = {"asio::", "boost::asio::", "loopwatch::"};
constexpr std::string_view library_names[] = {
    "std::",    "__gnu_cxx::", "__cxxabiv1::", "boost::",    "fmt::",
    "spdlog::", "nlohmann::",  "rapidjson::",  "simdjson::", "absl::",
};
// Rust's, whose names have no parameters: a C++ program may have a namespace `core` of its own.
constexpr std::string_view rust_runtime_names[] = {"tokio::", "<tokio::", "mio::", "<mio::", "async_io::"};
constexpr std::string_view rust_library_names[] = {"core::", "<core::", "alloc::", "<alloc::", "<std::", "__rust"};

template <std::size_t N>
bool starts_with_any(std::string_view text, const std::string_view (&prefixes)[N])
{
    return std::ranges::any_of(prefixes, [&](std::string_view prefix) { return text.starts_with(prefix); });
}

// The name by which the code called it: what its symbol says may be a local name of glibc's, or missing.
const std::string& called_name(const Frame& frame)
{
    return frame.called.empty() ? frame.function : frame.called;
}

// A function of the name service or of child processes. A user's own function may be called `wait` too, but has a
// source file.
const CallRow* through_row(const Frame& frame)
{
    if (owner_of(frame) != FrameOwner::libc && !frame.file.empty()) return nullptr;
    const auto* row = find_call(called_name(frame));
    const bool through =
        row != nullptr && row->number < 0 && (row->rule == CallRule::dns || row->rule == CallRule::process);
    return through ? row : nullptr;
}

// What an import is called is public; of a symbol that only glibc or its debug file knows, the table tells.
std::string public_call(const Frame& frame)
{
    auto call = canonical_call(called_name(frame));
    return frame.called.empty() && find_call(call) == nullptr ? std::string() : call;
}

template <class Matches>
const Frame* innermost(std::span<const Frame> stack, Matches matches)
{
    const auto found = std::ranges::find_if(stack, matches);
    return found == stack.end() ? nullptr : &*found;
}

FrameOwner owner_of_code(const Frame& frame)
{
    const auto module = base_name(frame.module);
    if (starts_with_any(module, libc_modules)) return FrameOwner::libc;
    const auto name = plain_name(frame.function);
    if (starts_with_any(name, runtime_names)) return FrameOwner::runtime;
    if (starts_with_any(name, library_names) || starts_with_any(module, library_modules)) return FrameOwner::library;
    if (starts_with_any(frame.file, installed_headers)) return FrameOwner::library;
    if (frame.function.find('(') == std::string::npos) {
        if (starts_with_any(name, rust_runtime_names)) return FrameOwner::runtime;
        if (starts_with_any(name, rust_library_names)) return FrameOwner::library;
    }
    if (frame.file.find(cargo_packages) != std::string::npos) return FrameOwner::library;
    if (module.find(".so") != module.npos && starts_with_any(frame.module, installed)) return FrameOwner::library;
    return FrameOwner::user;
}

template <class Matches>
const Frame* best_of_innermost_module(std::span<const Frame> stack, Matches own)
{
    const auto* const first = innermost(stack, own);
    if (first == nullptr) return nullptr;
    auto rest = stack.subspan(static_cast<std::size_t>(first - stack.data()));
    const auto elsewhere =
        std::ranges::find_if(rest, [&](const Frame& f) { return own(f) && f.module != first->module; });
    rest = rest.first(static_cast<std::size_t>(elsewhere - rest.begin()));
    if (const auto* f = innermost(rest, [&](const Frame& f) { return !f.file.empty() && own(f); })) return f;
    if (const auto* f = innermost(rest, [&](const Frame& f) { return !f.function.empty() && own(f); })) return f;
    return first;
}

}  // namespace

FrameOwner owner_of(const Frame& frame)
{
    const auto owner = owner_of_code(frame);
    return frame.of_loop && owner != FrameOwner::libc ? FrameOwner::runtime : owner;
}

void leave_out_shim(std::vector<Frame>& stack)
{
    const auto of_shim = [](const Frame& frame) { return base_name(frame.module).starts_with(shim_module); };
    Frame* inside = nullptr;  // the last that is not the shim's
    for (auto& frame : stack) {
        if (!of_shim(frame)) {
            inside = &frame;
            continue;
        }
        // It calls by a pointer, so by no name.
        if (!inside || frame.called.empty() || !inside->called.empty()) continue;
        inside->called = frame.called;
        if (inside->function.empty()) inside->function = frame.called;
    }
    std::erase_if(stack, of_shim);
}

bool is_start(const Frame& frame)
{
    const auto name = plain_name(frame.function);
    const bool rust = name.ends_with("::main") && frame.function.find('(') == std::string::npos;
    return name == "_start" || name == "main" || rust;
}

bool is_named_own(const Frame& frame)
{
    return !frame.function.empty() && owner_of(frame) == FrameOwner::user && !is_start(frame);
}

const Frame* culprit_frame(std::span<const Frame> stack)
{
    // Below JavaScript or Python lies their runtime, which nobody wrote who reads this.
    const auto script = [](const Frame& f) {
        return f.module.empty() && !f.file.empty() && !f.file.starts_with("node:");
    };
    if (const auto* f = innermost(stack, script)) return f;
    if (const auto* f = best_of_innermost_module(
            stack, [](const Frame& f) { return owner_of(f) == FrameOwner::user && !is_start(f); }))
        return f;
    if (const auto* f =
            best_of_innermost_module(stack, [](const Frame& f) { return owner_of_code(f) == FrameOwner::user; }))
        return f;
    return innermost(stack, [](const Frame& f) { return !f.function.empty() && owner_of(f) == FrameOwner::library; });
}

std::string place_text(const Frame* frame)
{
    if (frame == nullptr) return {};
    const auto name = spoken_name(frame->function);
    if (!frame->file.empty()) {
        // Python's perf map has functions and files, no lines.
        const auto line = frame->line != 0 ? fmt::format(":{}", frame->line) : std::string();
        const auto at = fmt::format("at {}{}", base_name(frame->file), line);
        return name.empty() ? at : fmt::format("{} ({})", at, name);
    }
    if (!name.empty()) return "in " + name;
    if (frame->module.empty()) return "in code generated at run time, which has no name";
    return fmt::format("at {}+{:#x}", base_name(frame->module), frame->offset);
}

UserPart user_part(std::span<const Frame> stack)
{
    const auto is_runtime = [](const Frame& f) { return owner_of(f) == FrameOwner::runtime; };
    const auto is_user = [](const Frame& f) { return owner_of(f) == FrameOwner::user; };
    auto cut = stack.size();
    while (cut > 0 && !is_runtime(stack[cut - 1])) --cut;
    // The runtime resumes through std::coroutine_handle, std::function and the like.
    while (cut > 0 && !is_user(stack[cut - 1]) && owner_of(stack[cut - 1]) != FrameOwner::libc) --cut;
    // Without own code on its inner side it was no dispatch but a call into the runtime.
    const bool cuts_all = std::ranges::none_of(stack.first(cut), is_user);
    return cuts_all ? UserPart{stack, 0} : UserPart{stack.first(cut), stack.size() - cut};
}

std::optional<LibcEntry> libc_entry(std::span<const Frame> stack)
{
    for (std::size_t i = stack.size(); i-- > 0;)
        if (const auto* row = through_row(stack[i])) return LibcEntry{std::string(row->name), i, true};
    std::optional<LibcEntry> entry;
    for (std::size_t i = 0; i < stack.size() && owner_of(stack[i]) == FrameOwner::libc; ++i) {
        // The shim's wrappers bear the names of what they wrap; its helpers do not count.
        if (base_name(stack[i].module).starts_with(shim_module) && find_call(stack[i].function) == nullptr) continue;
        if (auto call = public_call(stack[i]); !call.empty()) entry = {std::move(call), i, false};
    }
    return entry;
}

std::string frame_identity(const Frame& frame)
{
    return frame.function.empty() ? fmt::format("{}+{:#x}", frame.module, frame.offset) : plain_name(frame.function);
}

}  // namespace loopwatch
