// SPDX-License-Identifier: Apache-2.0
//
// ProcessImage: the code a process has mapped, and the walk through a captured stack by call frame information. Nothing
// is read from the live process: memory is the captured bytes, else read-only bytes of the files. Runs in the worker.
#pragma once

#include <elfutils/libdwfl.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "stack/image.hpp"
#include "stack/perf_map.hpp"
#include "stack/progress.hpp"
#include "stack/symbol_worker.hpp"

namespace loopwatch {

inline constexpr std::size_t max_frames = 128;

class ProcessImage {
public:
    struct Module {
        std::uint64_t start = 0, end = 0, file_offset = 0;
        std::string path;
        std::uint32_t file_id = 0;
        std::shared_ptr<Image> image;  // null: not an ELF file, or not to be touched
    };
    ProcessImage(std::uint32_t pid, Progress& progress) : pid_(pid), progress_(progress) {}

    // Takes effect at the next unwind().
    void add(Module module);
    const std::vector<Module>& modules() const noexcept { return modules_; }
    // Names code that belongs to no module.
    void set_perf_map(Fd file, std::uint32_t file_id);

    // Frames innermost first, inlines expanded, at most max_frames real ones. Always at least the frame of the captured
    // pc.
    std::vector<Frame> unwind(const CapturedStack& stack);
    // One address with its inlines; exact, not a return address.
    void symbolize(std::uint64_t address, std::vector<Frame>& frames);

private:
    struct Walk {
        const CapturedStack* stack = nullptr;
        std::uint64_t pc = 0;  // where it begins
        struct Step {
            std::uint64_t lookup = 0;  // the address to look up
            std::uint64_t sp = 0;      // 0: unknown
            bool returns = false;      // `lookup` is the last byte of a call
        };
        std::vector<Step> steps;
        std::uint64_t last_sp = 0;
        bool cut = false;  // the rest of the stack could not be read
    };
    static pid_t next_thread(Dwfl*, void*, void**);
    static bool get_thread(Dwfl*, pid_t, void* self, void** thread);
    static bool read_memory(Dwfl*, Dwarf_Addr address, Dwarf_Word* result, void* self);
    static bool set_registers(Dwfl_Thread*, void* self);
    static int on_frame(Dwfl_Frame*, void* self);
    std::uint64_t pc_with_rules(std::uint64_t pc);
    std::string called_by(std::uint64_t address);
    bool read_file(std::uint64_t address, Dwarf_Word* result) const;
    void build();
    const Module* find(std::uint64_t address) const;

    std::uint32_t pid_;
    Progress& progress_;
    std::optional<PerfMap> perf_map_;
    std::uint32_t perf_map_id_ = 0;
    std::vector<Module> modules_;  // sorted by start once built
    bool built_ = false;
    std::unique_ptr<Dwfl, decltype(&dwfl_end)> dwfl_{nullptr, &dwfl_end};
    bool attached_ = false;
    Walk walk_;
};

}  // namespace loopwatch
