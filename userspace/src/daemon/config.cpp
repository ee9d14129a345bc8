// SPDX-License-Identifier: Apache-2.0
#include "daemon/config.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "analysis/suppressions.hpp"
#include "daemon/config_loading.hpp"
#include "daemon/config_values.hpp"
#include "util/fd.hpp"

namespace loopwatch {

namespace {

constexpr std::size_t most_file_bytes = 1 << 20;

}  // namespace

std::optional<std::string> read_config_file(const std::string& path, ConfigProblem& problem)
{
    problem = {path, {}, {}};
    const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    struct stat status = {};
    std::string text(most_file_bytes + 1, '\0');
    std::size_t size = 0;
    bool failed = !file || ::fstat(file.raw(), &status) != 0;
    if (!failed && !S_ISREG(status.st_mode)) {
        problem.what = "is no regular file";
        return std::nullopt;
    }
    while (!failed && size < text.size()) {
        const auto got = ::read(file.raw(), text.data() + size, text.size() - size);
        failed = got < 0;
        if (got <= 0) break;
        size += static_cast<std::size_t>(got);
    }
    if (failed) problem.what = fmt::format("cannot be read: {}", std::strerror(errno));
    if (!failed && size > most_file_bytes) problem.what = "is larger than 1 MiB";
    if (!problem.what.empty()) return std::nullopt;
    text.resize(size);
    return text;
}

std::string_view SinkSettings::option(std::string_view name) const
{
    const auto found = std::ranges::find_if(
        options, [&](const std::pair<std::string, std::string>& each) { return each.first == name; });
    return found == options.end() ? std::string_view() : std::string_view(found->second);
}

std::string Setting::key() const
{
    return index ? fmt::format("{}[{}].{}", section, *index, name) : fmt::format("{}.{}", section, name);
}

LoadedConfig parse_config(std::string_view text, const std::string& name, const ConfigSources& sources)
{
    LoadedConfig loaded;
    ConfigLoading loading(loaded);
    loading.defaults();
    loading.file(text, name);
    loading.environment(sources.environment);
    loading.options(sources.options);
    return loaded;
}

LoadedConfig load_config(const ConfigSources& sources)
{
    if (sources.file.empty()) return parse_config("", "", sources);
    ConfigProblem problem;
    const auto text = read_config_file(sources.file, problem);
    auto loaded = parse_config(text.value_or(""), sources.file, sources);
    if (!text) loaded.problems.insert(loaded.problems.begin(), std::move(problem));
    return loaded;
}

void check_named_files(LoadedConfig& loaded, std::string_view today)
{
    for (const auto& setting : loaded.settings) {
        if (setting.name != "suppressions") continue;
        std::vector<std::string> paths;
        ConfigProblems refused("");  // known already
        read_paths(setting.value, paths, refused);
        for (const auto& path : paths) {
            ConfigProblem problem;
            std::optional<Suppressions::Problem> wrong;
            const auto text = path.empty() ? std::nullopt : read_config_file(path, problem);
            if (text) (void)Suppressions::parse(*text, today, wrong);
            if (wrong) problem = {fmt::format("{}:{}:{}", path, wrong->line, wrong->column), wrong->what, {}};
            problem.hint = fmt::format("{} of {}", setting.key(), setting.origin);
            if (!problem.what.empty()) loaded.problems.push_back(std::move(problem));
        }
    }
}

std::vector<std::string> config_changes(const std::vector<Setting>& before, const std::vector<Setting>& after)
{
    std::vector<std::string> changes;
    const auto value_in = [](const std::vector<Setting>& settings, const std::string& key) {
        const auto found = std::ranges::find(settings, key, &Setting::key);
        return found == settings.end() ? std::string("unset") : toml_text(found->value);
    };
    const auto compare = [&](const Setting& setting) {
        const auto was = value_in(before, setting.key()), is = value_in(after, setting.key());
        if (was != is) changes.push_back(fmt::format("{} = {} -> {}", setting.key(), was, is));
    };
    for (const auto& setting : after) compare(setting);
    for (const auto& setting : before)
        if (std::ranges::find(after, setting.key(), &Setting::key) == after.end()) compare(setting);
    return changes;
}

}  // namespace loopwatch
