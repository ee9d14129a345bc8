// SPDX-License-Identifier: Apache-2.0
#include "stack/perf_map.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <vector>

#include "util/text.hpp"

namespace loopwatch {

namespace {

constexpr std::size_t block_bytes = 1u << 18;

// The hexadecimal number at the beginning of `text`, which is moved behind it and a blank.
std::optional<std::uint64_t> take_number(std::string_view& text)
{
    if (text.starts_with("0x")) text.remove_prefix(2);
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, 16);
    const auto used = static_cast<std::size_t>(end - text.data());
    if (error != std::errc() || used == text.size() || text[used] != ' ') return std::nullopt;
    text.remove_prefix(used + 1);
    return number;
}

// "path:12:3" and "path:12" → path and line.
void set_place(Frame& frame, std::string_view place)
{
    if (place.starts_with("file://")) place.remove_prefix(7);
    std::uint32_t numbers[2] = {};
    std::size_t count = 0;
    while (count < 2) {
        const auto colon = place.rfind(':');
        if (colon == place.npos || colon + 1 == place.size()) break;
        const auto digits = place.substr(colon + 1);
        const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), numbers[count]);
        if (error != std::errc() || end != digits.data() + digits.size()) break;
        place = place.substr(0, colon);
        ++count;
    }
    frame.file = place;
    frame.line = count ? numbers[count - 1] : 0;
}

}  // namespace

// V8: "LazyCompile:*name place", "JS:~name place", "Function:^ name place"; the mark is how well it is compiled.
Frame frame_of_jit_name(std::string_view name)
{
    static constexpr std::string_view v8[] = {"LazyCompile:", "JS:", "Function:", "Script:", "Eval:"};
    Frame frame;
    frame.function = name;
    if (name.starts_with("py::")) {
        const auto colon = name.find(':', 4);
        frame.function = name.substr(4, colon - 4);
        if (colon != name.npos) frame.file = name.substr(colon + 1);
        return frame;
    }
    const auto* prefix = std::ranges::find_if(v8, [&](std::string_view one) { return name.starts_with(one); });
    if (prefix == std::end(v8)) return frame;
    name.remove_prefix(prefix->size());
    if (!name.empty() && std::string_view("*~^+").find(name.front()) != std::string_view::npos) name.remove_prefix(1);
    const auto blank = name.find(' ');
    const auto function = name.substr(0, blank);
    frame.function = function.empty() ? "(anonymous)" : function;
    if (blank != name.npos) set_place(frame, name.substr(blank + 1));
    return frame;
}

std::optional<Frame> PerfMap::find(std::uint64_t address)
{
    read_on();
    const auto after = codes_.upper_bound(address);
    if (after == codes_.begin() || address >= std::prev(after)->second.end) return std::nullopt;
    auto frame = frame_of_jit_name(std::prev(after)->second.name);
    frame.offset = address;
    return frame;
}

void PerfMap::read_on()
{
    std::vector<char> block;
    while (read_bytes_ < max_bytes) {
        struct stat status = {};
        if (::fstat(file_.raw(), &status) != 0 || static_cast<std::uint64_t>(status.st_size) <= read_bytes_) return;
        block.resize(block_bytes);
        const auto got = ::pread(file_.raw(), block.data(), block.size(), static_cast<off_t>(read_bytes_));
        if (got <= 0) return;
        progress_.beat();
        read_bytes_ += static_cast<std::uint64_t>(got);
        std::string_view text(block.data(), static_cast<std::size_t>(got));
        for (auto end = text.find('\n'); end != text.npos; end = text.find('\n')) {
            rest_ += text.substr(0, end);
            add(rest_);
            rest_.clear();
            text.remove_prefix(end + 1);
        }
        if (rest_.size() < 2 * max_name_bytes) rest_ += text;
    }
}

void PerfMap::add(std::string_view line)
{
    const auto start = take_number(line);
    const auto size = start ? take_number(line) : std::nullopt;
    if (!size || *size == 0 || line.empty() || *start + *size < *start) return;
    const auto end = *start + *size;
    // What lay here before is gone.
    auto old = codes_.lower_bound(*start);
    if (old != codes_.begin() && std::prev(old)->second.end > *start) std::prev(old)->second.end = *start;
    while (old != codes_.end() && old->first < end) old = codes_.erase(old);
    codes_.insert_or_assign(*start, Code{end, sanitize_utf8(line.substr(0, max_name_bytes))});
}

}  // namespace loopwatch
