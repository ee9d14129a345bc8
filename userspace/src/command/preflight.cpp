// SPDX-License-Identifier: Apache-2.0
#include "command/preflight.hpp"

#include <fmt/format.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "attach/kernel_source.hpp"
#include "command/capabilities.hpp"
#include "stack/confinement.hpp"
#include "target/launch.hpp"
#include "target/seccomp.hpp"
#include "util/text.hpp"

namespace loopwatch {

namespace {

constexpr const char* btf_path = "/sys/kernel/btf/vmlinux";
constexpr ino_t initial_pid_namespace = 0xEFFFFFFC;  // PROC_PID_INIT_INO, include/linux/proc_ns.h

// Before 5.18 sched_switch does not carry the previous state, before 5.15 there is no bpf_task_pt_regs.
constexpr int oldest_major = 5, oldest_minor = 18;

Check check_privileges()
{
    const auto effective = effective_capabilities();
    const auto lacking = missing_privileges(effective);
    if (lacking.empty())
        return {"privileges", Verdict::ok,
                effective >> CAP_SYS_ADMIN & 1 ? "CAP_SYS_ADMIN" : "CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE", ""};
    return {"privileges", Verdict::missing, "no " + lacking,
            "run as root: sudo loopwatch …, or start the program with loopwatch run, as any user"};
}

Check check_kernel()
{
    utsname name = {};
    int major = 0, minor = 0;
    ::uname(&name);
    std::sscanf(name.release, "%d.%d", &major, &minor);
    if (major > oldest_major || (major == oldest_major && minor >= oldest_minor))
        return {"kernel", Verdict::ok, name.release, ""};
    return {"kernel", Verdict::missing, fmt::format("{} is older than {}.{}", name.release, oldest_major, oldest_minor),
            "boot a newer kernel"};
}

Check check_btf()
{
    if (::access(btf_path, R_OK) == 0) return {"BTF", Verdict::ok, btf_path, ""};
    return {"BTF", Verdict::missing, fmt::format("no {}", btf_path),
            "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y (every Debian kernel is)"};
}

// The kernel side speaks the initial namespace's ids.
Check check_namespace()
{
    struct stat info = {};
    if (::stat("/proc/self/ns/pid", &info) != 0)
        return {"/proc", Verdict::missing, "not mounted", "mount -t proc proc /proc"};
    if (info.st_ino == initial_pid_namespace) return {"PID namespace", Verdict::ok, "the initial one", ""};
    return {"PID namespace", Verdict::missing, "loopwatch runs in a container's",
            "run it on the host, or with docker run --pid=host"};
}

// How this kernel treats a probed nop, asked as the uprobe system call answers from outside a trampoline.
Check check_uprobe_generation()
{
    constexpr long sys_uprobe = 336;
    const long answer = ::syscall(sys_uprobe);
    const int error = answer < 0 ? errno : 0;
    if (error == ENXIO)
        return {"uprobes", Verdict::ok,
                "rewrites probed 5-byte nops into calls, which harms programs; ours are 1-byte nops, which are safe",
                ""};
    if (error == EPROTO) return {"uprobes", Verdict::ok, "fast (nop10)", ""};
    return {"uprobes", Verdict::ok, "by breakpoint", ""};
}

Check check_attach()
{
    const auto rung = best_rung();
    if (rung == AttachRung::multi) return {"attach", Verdict::ok, "uprobe_multi links", ""};
    return {"attach", Verdict::degraded,
            fmt::format("{}: other processes that run the same file pay for the probes too", rung_name(rung)),
            "kernel 6.10 or newer attaches to one process only"};
}

// Who parses the target's files gives up all it can.
Check check_confinement()
{
    const char* const user = ::geteuid() == 0 ? "a user of its own" : "your own user without capabilities";
    if (can_filter_system_calls())
        return {"symbol worker", Verdict::ok, fmt::format("confined: {}, no system call that opens anything", user),
                ""};
    return {"symbol worker", Verdict::degraded,
            fmt::format("runs as {}, but it and loopwatch may make any system call: this kernel has no seccomp", user),
            "boot a kernel built with CONFIG_SECCOMP_FILTER=y (every Debian kernel is)"};
}

Check check_load()
{
    KernelOptions options;
    options.rung = best_rung();
    const auto kernel = Kernel::open(options);
    if (kernel) return {"BPF programs", Verdict::ok, "load and attach", ""};
    return {"BPF programs", Verdict::missing, kernel.error().what, kernel.error().hint};
}

// `outside`: the kernel side works here, for us.
Check check_run(bool outside)
{
    const auto shim = find_shim();
    if (!shim) return {"run", Verdict::missing, shim.error().what, shim.error().hint};
    if (const auto why = why_shim_is_mute(); !why.empty())
        return {"run", outside ? Verdict::degraded : Verdict::missing, "not from inside: " + why,
                "sudo loopwatch -p PID watches from outside"};
    if (outside) return {"run", Verdict::ok, "from outside and inside; without root from inside", ""};
    return {"run", Verdict::ok, "from inside, which needs no root: calls of libc that block, not what burns CPU", ""};
}

void print(const Check& check)
{
    static constexpr const char* words[] = {"ok", "degraded", "MISSING"};
    fmt::print("{:<9} {:<22} {}\n", words[static_cast<int>(check.verdict)], check.name, escape_terminal(check.finding));
    if (!check.cure.empty()) fmt::print("{:<32} → {}\n", "", escape_terminal(check.cure));
}

ExitCode examine_process(pid_t pid)
{
    const auto report = [](const Error& error) {
        print({"process", Verdict::missing, error.what, error.hint});
        return error.code;
    };
    auto worker = SymbolWorker::start();
    if (!worker) return report(worker.error());
    Reactor reactor;
    const auto answers = reactor.watch((*worker)->descriptor(), Reactor::Ready::readable, [] {});
    KernelSymbols symbols;
    Engine engine({}, reactor, **worker, symbols, [](Report&&) {});
    KernelOptions of_kernel;
    of_kernel.rung = best_rung();
    KernelSourceOptions options;
    options.pids = {pid};
    auto source = KernelSource::open(options, of_kernel, engine, **worker);
    if (!source) return report(source.error());
    if (auto attached = (*source)->attach(); !attached) return report(attached.error());
    if (engine.targets().empty())
        return report({ExitCode::no_such_target, fmt::format("process {} ended while attaching", pid), ""});
    auto& target = static_cast<Attachment&>(*engine.find(static_cast<std::uint32_t>(pid)));
    print({"process", Verdict::ok, fmt::format("{} ({})", pid, target.comm()), ""});
    print({"probes", Verdict::ok,
           target.finder() ? "none: iterations of its loops are timed, not callbacks"
                           : fmt::format("{} attached", target.probes().size()),
           ""});
    const bool loops = !target.known_loops().empty();
    print({"loops", loops ? Verdict::ok : Verdict::degraded, fmt::format("{} running", target.known_loops().size()),
           loops ? ""
           : target.process().stopped()
               ? fmt::format("it is stopped: kill -s CONT {} lets it go on, and its loops be found", pid)
               : "none runs yet: a loop that starts later is seen from then on"});
    std::string tiers;
    for (const int tier : target.tiers()) tiers += fmt::format("{}{}", tiers.empty() ? "" : ", ", tier);
    print({"tiers", Verdict::ok, tiers, ""});
    target.check_names();
    for (const auto& warning : target.warnings()) print({"note", Verdict::degraded, warning, ""});
    return ExitCode::done;
}

}  // namespace

std::vector<Check> check_machine()
{
    return {check_privileges(), check_kernel(), check_btf(), check_namespace()};
}

Result<void> preflight()
{
    for (auto& check : check_machine())
        if (check.verdict == Verdict::missing)
            return Error{ExitCode::not_permitted, check.name + ": " + check.finding, check.cure};
    return {};
}

ExitCode doctor(const std::vector<pid_t>& pids)
{
    bool works = true;
    for (const auto& check : check_machine()) {
        print(check);
        works = works && check.verdict != Verdict::missing;
    }
    for (const auto& check : check_capabilities(effective_capabilities())) print(check);
    print(check_uprobe_generation());
    print(check_confinement());
    if (works) {
        for (const auto& check : {check_attach(), check_load()}) {
            print(check);
            works = works && check.verdict != Verdict::missing;
        }
    }
    print(check_run(works));
    if (!works) return ExitCode::not_permitted;
    for (const pid_t pid : pids)
        if (const auto code = examine_process(pid); code != ExitCode::done) return code;
    return ExitCode::done;
}

}  // namespace loopwatch
