// SPDX-License-Identifier: Apache-2.0
//
// The one place that touches the target's files: a forked worker parses ELF, DWARF, notes and mangled names, the core
// only sends it descriptors and stack bytes and validates what comes back. start() before BPF is loaded and before a
// target is attached to: what this process holds then is all that a worker can inherit (zygote.hpp). Requests are
// asynchronous and answered in order; a worker that dies or hangs costs symbols, never the session.
#pragma once

#include <sys/types.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "stack/frame.hpp"
#include "stack/process_context.hpp"
#include "target/module_mapping.hpp"
#include "util/result.hpp"

namespace loopwatch {

// A USDT site of provider `loopwatch`, as a file claims it; offsets are file offsets.
struct ProbeSite {
    std::string name;
    std::uint64_t offset = 0;
    std::uint64_t semaphore_offset = 0;
    std::string arguments;  // "8@%rdi 8@%rsi"
};

// The body of a C++20 coroutine.
struct CoroutineCode {
    std::uint64_t offset = 0;    // in the file, as that claims it
    std::uint8_t first[4] = {};  // bytes of it, as the core has read them
};

// What a module tells about itself.
struct ModuleScan {
    std::vector<ProbeSite> sites;
    std::uint64_t registry_vaddr = 0;  // link-time address of struct lw_registry; 0: no loopwatch note
    std::uint32_t registry_abi = 0;
    // The first executable PT_LOAD (p_vaddr, p_offset): a mapping that starts at `start` with `file_offset` is biased
    // by start - (exec_vaddr + file_offset - exec_offset).
    std::uint64_t exec_vaddr = 0, exec_offset = 0;
    std::string build_id;
    std::vector<std::string> warnings;      // refused sites, with the reason
    std::vector<CoroutineCode> coroutines;  // with ScanOptions::coroutines
    // Where it throws exceptions: libstdc++'s probe `libstdcxx:throw`, as an offset in the file; 0: it has none.
    std::uint64_t throws = 0;
    bool is_static = false;  // no interpreter: the shim cannot be loaded
    bool is_go = false;      // Go's linker made it
};

// Does it publish dispatches, as a runtime with the probes does?
inline bool brings_runtime(const ModuleScan& scan)
{
    return std::ranges::any_of(scan.sites, [](const ProbeSite& site) { return site.name == "slow_dispatch"; });
}

// Of a module that has one, in the process that has mapped it so.
inline std::uint64_t registry_address(const ModuleScan& scan, const ModuleMapping& module)
{
    return scan.registry_vaddr + module.start - (scan.exec_vaddr + module.file_offset - scan.exec_offset);
}

struct ScanOptions {
    bool coroutines = false;  // reads the whole symbol table
};

struct CapturedStack {
    std::uint32_t pid = 0;
    static constexpr std::size_t sp_register = 7, pc_register = 16, register_count = 17;
    std::uint64_t dwarf_registers[register_count] = {};  // order of lw_registers
    std::uint64_t base = 0;                              // address of bytes[0]
    std::vector<std::uint8_t> bytes;
    bool truncated = false;  // the copy ends below the loop's frame; without it, its end is not reported as a loss
    bool rationed = false;   // only a finding lacks its names: ration() may refuse it
};

class SymbolWorker {
public:
    using Done = std::function<void(std::vector<Frame>)>;
    using ContextDone = std::function<void(std::vector<ContextAttribute>)>;

    static Result<std::unique_ptr<SymbolWorker>> start();
    virtual ~SymbolWorker() = default;

    // Has the file read, and what the worker claims of it compared with it, beside other things: then it is scanned().
    // What failed is tried again. `done` runs inside poll(). `elf` stays the caller's.
    virtual void scan_ahead(int elf, ScanOptions options, Done done) = 0;
    // What is kept of it, until the next call; nullptr: it has not been read, or gave way to others.
    virtual const Result<ModuleScan>* scanned(int elf, ScanOptions options = {}) = 0;
    // The same; reads it, and waits for that, if nothing is.
    virtual Result<ModuleScan> scan(int elf, ScanOptions options = {}) = 0;
    // Replaces what is known of a process (after attach, dlopen, exec); an empty list forgets it. `perf_map`: names of
    // code that belongs to no module (target/perf_map_file.hpp); may be none.
    virtual Result<void> map_process(std::uint32_t pid, std::vector<ModuleMapping> modules, Fd perf_map = {}) = 0;
    // `done` runs inside poll(); frames innermost first, inlines expanded. Never fails: at worst frames without names.
    // When 4,096 requests or 64 MiB wait already, 64 of them of this process, `done` runs at once, without names.
    virtual void unwind(CapturedStack stack, Done done) = 0;
    // Frames of bare code addresses, each with its inlines.
    virtual void symbolize(std::uint32_t pid, std::vector<std::uint64_t> addresses, Done done) = 0;
    // A type as people write it, from std::type_info::name(), as the function of a single frame; no frame: it stays as
    // it is.
    virtual void demangle_type(std::uint32_t pid, std::string name, Done done) = 0;
    // Of what a process publishes (process_context.hpp): `done` gets the texts among its resource's attributes; none:
    // it is broken, or the worker failed.
    virtual void parse_context(std::uint32_t pid, std::span<const std::byte> payload, ContextDone done) = 0;

    // Names are waited for until then, if they are not already for longer: the worker runs at the core's own priority,
    // and at nice 10 afterwards, as they can wait, the targets cannot. It begins with the former: where two others kept
    // both CPUs busy, the start of a session took 1.2 s more at nice 10.
    virtual void raise_priority_until(std::uint64_t time_ns) = 0;
    virtual void lower_priority() = 0;
    // How many stacks of findings are unwound in a second, beside those that are known: as many as there are by
    // default. Others are addresses without names, and counted.
    virtual void ration(std::optional<std::uint32_t> stacks_per_second) = 0;
    virtual std::uint64_t refused() const = 0;
    // Ends the worker if nothing was asked of it for so long: what it has read of debug information takes tens of
    // megabytes. Another one is started by the next request.
    virtual void end_if_idle(std::uint64_t idle_ns) = 0;

    // Readable when poll() has something to do; stays the same for life.
    virtual int descriptor() const = 0;
    virtual void poll() = 0;
    virtual std::size_t pending() const = 0;
    // How many requests there were; answered() is true once poll() has handed out the answers to that many.
    virtual std::uint64_t asked() const = 0;
    virtual bool answered(std::uint64_t asked) const = 0;
    // Answers what is pending without names, with the next poll().
    virtual void give_up() = 0;
    // -1 while none runs: it ends after 30 s without requests, the next one starts another.
    virtual pid_t pid() const = 0;
    // Stacks answered without names because the worker died, gave no sign of life for 5 s, or too much waited for it.
    virtual std::uint64_t failures() const = 0;
    // Why the latest worker could not be started; empty: it could. Until one can, stacks are addresses.
    virtual const std::optional<Error>& start_failure() const = 0;
};

}  // namespace loopwatch
