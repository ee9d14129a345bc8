// SPDX-License-Identifier: Apache-2.0
#include "report/journal_cursor.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>
#include <system_error>
#include <utility>

#include "report/journal_files.hpp"

namespace loopwatch {

namespace {

constexpr std::size_t longest_name = 64;

struct CursorField {
    const char* name;
    std::uint64_t& (*of)(JournalCursor&);
};

constexpr std::array cursor_fields = {CursorField{"segment", [](JournalCursor& one) -> auto& {return one.segment;
}  // namespace
}  // namespace loopwatch
, CursorField{"offset", [](JournalCursor& one) -> auto& {return one.offset;
}
}
, CursorField{"seq", [](JournalCursor& one) -> auto& {return one.seq;
}
}
, CursorField{"records", [](JournalCursor& one) -> auto& {return one.records;
}
}
, CursorField{"removed", [](JournalCursor& one) -> auto& {return one.lost.removed;
}
}
, CursorField{"corrupt", [](JournalCursor& one) -> auto& {return one.lost.corrupt;
}
}
, CursorField{"unwritten", [](JournalCursor& one) -> auto& {return one.lost.unwritten;
}
}
, CursorField{"corrupt_places", [](JournalCursor& one) -> auto& {return one.corrupt_places;
}
}
, CursorField{"corrupt_bytes", [](JournalCursor& one) -> auto& {return one.corrupt_bytes;
}
}
,
}
;

std::optional<JournalCursor> parse_cursor(const std::string& text)
{
    const auto object = nlohmann::json::parse(text, nullptr, false);
    if (!object.is_object()) return std::nullopt;
    JournalCursor cursor;
    for (const auto& field : cursor_fields) {
        const auto found = object.find(field.name);
        if (found == object.end() || !found->is_number_unsigned()) return std::nullopt;
        field.of(cursor) = found->get<std::uint64_t>();
    }
    return cursor;
}

}  // namespace

bool is_cursor_name(const std::string& name)
{
    constexpr std::string_view allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    return !name.empty() && name.size() <= longest_name && name[0] != '.' &&
           name.find_first_not_of(allowed) == std::string::npos;
}

Result<std::optional<JournalCursor>> load_cursor(const std::string& state, const std::string& name)
{
    const auto path = cursors_path(state) + "/" + name;
    auto text = read_small_file(path);
    if (!text) return std::move(text).error();
    if (!*text) return std::optional<JournalCursor>();
    auto cursor = parse_cursor(**text);
    if (!cursor)
        return Error{ExitCode::failed, path + " is no cursor",
                     "remove it: its reader gets all that is in the journal, some of it again"};
    return cursor;
}

Result<void> save_cursor(const std::string& state, const std::string& name, const JournalCursor& cursor)
{
    auto copy = cursor;
    nlohmann::ordered_json object;
    for (const auto& field : cursor_fields) object[field.name] = field.of(copy);
    return replace_file(cursors_path(state), name, object.dump() + "\n");
}

std::vector<JournalCursor> load_cursors(const std::string& state)
{
    std::vector<JournalCursor> cursors;
    std::error_code error;
    for (std::filesystem::directory_iterator file(cursors_path(state), error), end; !error && file != end;
         file.increment(error)) {
        const auto name = file->path().filename().native();
        if (!is_cursor_name(name)) continue;
        const auto cursor = load_cursor(state, name).value_or(std::nullopt);
        if (cursor) cursors.push_back(*cursor);
    }
    return cursors;
}

}  // namespace loopwatch
