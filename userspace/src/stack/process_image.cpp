// SPDX-License-Identifier: Apache-2.0
#include "stack/process_image.hpp"

#include <elfutils/libdw.h>
#include <fcntl.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <set>
#include <utility>

namespace loopwatch {
namespace {

// A capture that is not truncated ends at the loop's own frame: a read a little above it is that frame, not a loss.
constexpr std::uint64_t beyond_loop_bytes = 64 * 1024;

// Separate debug files play no part in unwinding: .eh_frame is in the file itself.
int no_debuginfo(Dwfl_Module*, void**, const char*, Dwarf_Addr, const char*, const char*, GElf_Word, char**)
{
    return -1;
}

// Load bias: what was added to link-time addresses.
std::optional<std::uint64_t> bias_of(const ProcessImage::Module& module)
{
    if (!module.image) return std::nullopt;
    const auto vaddr = module.image->segments().link_start(module.file_offset);
    return vaddr ? std::optional(module.start - *vaddr) : std::nullopt;
}

}  // namespace

void ProcessImage::add(Module module)
{
    modules_.push_back(std::move(module));
    built_ = false;
}

void ProcessImage::set_perf_map(Fd file, std::uint32_t file_id)
{
    perf_map_.emplace(std::move(file), progress_);
    perf_map_id_ = file_id;
}

std::vector<Frame> ProcessImage::unwind(const CapturedStack& stack)
{
    build();
    const std::uint64_t pc = pc_with_rules(stack.dwarf_registers[CapturedStack::pc_register]);
    walk_ = {&stack, pc, {}, 0, false};
    if (attached_) dwfl_getthread_frames(dwfl_.get(), static_cast<pid_t>(pid_), &ProcessImage::on_frame, this);
    if (walk_.steps.empty()) walk_.steps.push_back({pc, stack.dwarf_registers[CapturedStack::sp_register], false});

    std::vector<Frame> frames;
    for (std::size_t i = 0; i < walk_.steps.size(); ++i) {
        symbolize(walk_.steps[i].lookup, frames);
        if (i + 1 == walk_.steps.size()) break;
        const auto& caller = walk_.steps[i + 1];
        // The caller's stack pointer is where a frame ends.
        frames.back().cfa = caller.sp;
        if (caller.returns) frames.back().called = called_by(caller.lookup);
        if (frames.back().function.empty()) frames.back().function = frames.back().called;
    }
    frames.back().truncated = walk_.cut;
    progress_.reading(0);
    return frames;
}

// glibc ends the unwind information of clone and clone3, which posix_spawn and system wait in, before their system
// call: behind it, it would be wrong in the child. For the parent the last rules before it hold on. Without them
// libdwfl takes whatever is in rbp for a frame pointer.
std::uint64_t ProcessImage::pc_with_rules(std::uint64_t pc)
{
    constexpr std::uint64_t syscall_bytes = 2;
    auto* const module = attached_ ? dwfl_addrmodule(dwfl_.get(), pc) : nullptr;
    if (module == nullptr) return pc;
    const Module* const mapped = find(pc);
    progress_.reading(mapped != nullptr ? mapped->file_id : 0);
    Dwarf_Addr bias = 0;
    auto* const rules = dwfl_module_eh_cfi(module, &bias);
    const auto end_of_rules = [&](std::uint64_t address) -> std::uint64_t {
        Dwarf_Frame* found = nullptr;
        if (rules == nullptr || dwarf_cfi_addrframe(rules, address - bias, &found) != 0) return 0;
        const std::unique_ptr<Dwarf_Frame, decltype(&std::free)> frame(found, &std::free);
        Dwarf_Addr begin = 0, end = 0;
        return dwarf_frame_info(frame.get(), &begin, &end, nullptr) < 0 ? 0 : end + bias;
    };
    const auto before = pc - syscall_bytes;
    return end_of_rules(pc) == 0 && end_of_rules(before - 1) == before ? before - 1 : pc;
}

std::string ProcessImage::called_by(std::uint64_t address)
{
    const Module* module = find(address);
    const auto bias = module != nullptr ? bias_of(*module) : std::nullopt;
    if (!bias) return {};
    progress_.reading(module->file_id);
    return module->image->called_before(address + 1 - *bias);
}

void ProcessImage::symbolize(std::uint64_t address, std::vector<Frame>& frames)
{
    build();
    const Module* module = find(address);
    if (module == nullptr && perf_map_) {
        progress_.reading(perf_map_id_);
        if (auto frame = perf_map_->find(address)) return frames.push_back(std::move(*frame));
    }
    const auto bias = module != nullptr ? bias_of(*module) : std::nullopt;
    if (!bias) {
        Frame frame;
        frame.offset = address;
        if (module != nullptr) {
            frame.module = module->path;
            frame.offset = address - module->start + module->file_offset;
        }
        frames.push_back(std::move(frame));
        return;
    }
    progress_.reading(module->file_id);
    for (const Frame& known : module->image->symbolize(address - *bias)) {
        frames.push_back(known);
        frames.back().module = module->path;
    }
}

pid_t ProcessImage::next_thread(Dwfl*, void*, void**)
{
    return 0;
}

bool ProcessImage::get_thread(Dwfl*, pid_t, void* self, void** thread)
{
    *thread = self;
    return true;
}

bool ProcessImage::read_memory(Dwfl*, Dwarf_Addr address, Dwarf_Word* result, void* self)
{
    auto& image = *static_cast<ProcessImage*>(self);
    const CapturedStack& stack = *image.walk_.stack;
    const std::uint64_t size = stack.bytes.size();
    if (address >= stack.base && size >= sizeof *result && address - stack.base <= size - sizeof *result) {
        std::memcpy(result, stack.bytes.data() + (address - stack.base), sizeof *result);
        return true;
    }
    if (image.read_file(address, result)) return true;
    const std::uint64_t end = stack.base + size;
    const bool at_loop = !stack.truncated && address + sizeof *result > end && address < end + beyond_loop_bytes;
    if (!at_loop) image.walk_.cut = true;
    return false;
}

bool ProcessImage::set_registers(Dwfl_Thread* thread, void* self)
{
    Dwarf_Word registers[CapturedStack::register_count];
    std::copy_n(static_cast<ProcessImage*>(self)->walk_.stack->dwarf_registers, CapturedStack::register_count,
                registers);
    registers[CapturedStack::pc_register] = static_cast<ProcessImage*>(self)->walk_.pc;
    return dwfl_thread_state_registers(thread, 0, CapturedStack::register_count, registers);
}

int ProcessImage::on_frame(Dwfl_Frame* frame, void* self)
{
    auto& image = *static_cast<ProcessImage*>(self);
    Walk& walk = image.walk_;
    Dwarf_Addr pc = 0;
    bool activation = false;
    Dwarf_Word sp = 0;
    if (!dwfl_frame_pc(frame, &pc, &activation) || pc == 0) return DWARF_CB_ABORT;
    // Hostile or missing unwind information may run in circles: each caller's stack pointer lies above its callee's.
    const bool first = walk.steps.empty();
    if (dwfl_frame_reg(frame, CapturedStack::sp_register, &sp) == 0) {
        if (!first && sp <= walk.last_sp) return walk.cut = true, DWARF_CB_ABORT;
        walk.last_sp = sp;
    }
    if (walk.steps.size() == max_frames) return walk.cut = true, DWARF_CB_ABORT;
    const std::uint64_t lookup = activation ? pc : pc - 1;
    const Module* module = image.find(lookup);
    walk.steps.push_back({lookup, sp, !activation});
    image.progress_.reading(module != nullptr ? module->file_id : 0);
    return DWARF_CB_OK;
}

// Call frame information may point into .rodata; writable data would be another moment's.
bool ProcessImage::read_file(std::uint64_t address, Dwarf_Word* result) const
{
    for (const Module& module : modules_) {
        const auto bias = bias_of(module);
        if (!bias || address < *bias) continue;
        const auto offset = module.image->segments().offset_of(address - *bias, PF_R, PF_W);
        if (!offset) continue;
        return ::pread(module.image->file(), result, sizeof *result, static_cast<off_t>(*offset)) == sizeof *result;
    }
    return false;
}

void ProcessImage::build()
{
    if (built_) return;
    built_ = true;
    attached_ = false;
    std::sort(modules_.begin(), modules_.end(), [](const Module& a, const Module& b) { return a.start < b.start; });
    static const Dwfl_Callbacks callbacks = {nullptr, &no_debuginfo, &dwfl_offline_section_address, nullptr};
    dwfl_.reset(dwfl_begin(&callbacks));
    if (!dwfl_) return;
    std::set<std::pair<const Image*, std::uint64_t>> reported;
    for (const Module& module : modules_) {
        const auto bias = bias_of(module);
        if (!bias || !reported.emplace(module.image.get(), *bias).second) continue;
        // node maps a part of its own code a second time. An executable that is linked to an address is where that
        // says, and libdwfl drops it if it is reported elsewhere too: then no stack of the process can be unwound.
        if (!module.image->segments().position_independent && *bias != 0) continue;
        progress_.reading(module.file_id);
        Fd copy(::fcntl(module.image->file(), F_DUPFD_CLOEXEC, 0));
        if (dwfl_report_elf(dwfl_.get(), module.path.c_str(), module.path.c_str(), copy.raw(), *bias, true) != nullptr)
            (void)copy.release();  // libdwfl's
    }
    dwfl_report_end(dwfl_.get(), nullptr, nullptr);
    progress_.reading(0);
    static const Dwfl_Thread_Callbacks threads = {&ProcessImage::next_thread,
                                                  &ProcessImage::get_thread,
                                                  &ProcessImage::read_memory,
                                                  &ProcessImage::set_registers,
                                                  nullptr,
                                                  nullptr};
    attached_ = dwfl_attach_state(dwfl_.get(), nullptr, static_cast<pid_t>(pid_), &threads, this);
}

const ProcessImage::Module* ProcessImage::find(std::uint64_t address) const
{
    auto after = std::upper_bound(modules_.begin(), modules_.end(), address,
                                  [](std::uint64_t a, const Module& module) { return a < module.start; });
    return after != modules_.begin() && address < std::prev(after)->end ? &*std::prev(after) : nullptr;
}

}  // namespace loopwatch
