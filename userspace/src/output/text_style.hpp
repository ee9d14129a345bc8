// SPDX-License-Identifier: Apache-2.0
//
// Colours, where a person looks on; bare text otherwise.
#pragma once

#include <cstdlib>
#include <string>
#include <string_view>

namespace loopwatch {

struct TextStyle {
    bool colours = false;

    std::string strong(std::string_view text) const { return paint("\x1b[1m", text); }
    std::string alarm(std::string_view text) const { return paint("\x1b[1;31m", text); }
    std::string faint(std::string_view text) const { return paint("\x1b[2m", text); }

private:
    std::string paint(std::string_view code, std::string_view text) const
    {
        return colours ? std::string(code) + std::string(text) + "\x1b[0m" : std::string(text);
    }
};

// Only on a terminal that can, and if neither --no-color nor NO_COLOR (https://no-color.org) forbids it.
inline bool wants_colours(bool is_terminal, bool no_color_option)
{
    const char* no_color = std::getenv("NO_COLOR");
    const char* terminal = std::getenv("TERM");
    const bool forbidden = no_color_option || (no_color != nullptr && *no_color != '\0');
    return is_terminal && !forbidden && terminal != nullptr && std::string_view(terminal) != "dumb";
}

}  // namespace loopwatch
