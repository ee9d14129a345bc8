// SPDX-License-Identifier: Apache-2.0
//
// PerfMap: names of code that was compiled at run time, as a runtime (node --perf-basic-prof, Python -X perf, JVM
// agents) writes them to /tmp/perf-PID.map, line by line while it goes on: "start size name", hexadecimal. Runs in the
// worker: every byte is the target's.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "stack/frame.hpp"
#include "stack/progress.hpp"
#include "util/fd.hpp"

namespace loopwatch {

class PerfMap {
public:
    static constexpr std::uint64_t max_bytes = 64u << 20;  // of the file; what lies beyond is not read
    static constexpr std::size_t max_name_bytes = 512;

    PerfMap(Fd file, Progress& progress) : file_(std::move(file)), progress_(progress) {}

    // Reads what was added since the last time. Of code that was replaced, the later line counts.
    std::optional<Frame> find(std::uint64_t address);

private:
    struct Code {
        std::uint64_t end = 0;
        std::string name;
    };
    void read_on();
    void add(std::string_view line);

    Fd file_;
    Progress& progress_;
    std::uint64_t read_bytes_ = 0;
    std::string rest_;                     // a line that is not complete yet
    std::map<std::uint64_t, Code> codes_;  // by start
};

// "JS:*handle /srv/app.js:12:3" and "py::handle:/srv/app.py" → function, file, line; any other name as it is.
Frame frame_of_jit_name(std::string_view name);

}  // namespace loopwatch
