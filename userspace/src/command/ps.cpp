// SPDX-License-Identifier: Apache-2.0
#include "command/ps.hpp"

#include <limits>

namespace loopwatch {

std::unique_ptr<Command> make_ps()
{
    return std::make_unique<PsCommand>();
}

std::unique_ptr<Command> make_tree()
{
    return std::make_unique<TreeCommand>();
}

std::unique_ptr<Command> make_where()
{
    return std::make_unique<WhereCommand>();
}

Result<int> ListCommand::run()
{
    const auto code = list_tasks(listing);
    if (!code) return code.error();
    return static_cast<int>(*code);
}

void ListCommand::add_common_options(OptionParser& parser, const char* usage)
{
    listing.processes.add(parser, usage);
    listing.output.add(parser);
}

void ListCommand::add_filter_options(OptionParser& parser)
{
    parser.value("--state",
                 choice_value<std::string>(listing.state, {{"created", "created"},
                                                           {"running", "running"},
                                                           {"suspended", "suspended"},
                                                           {"ready", "ready"},
                                                           {"finished", "finished"}}),
                 "Only tasks in this state", "created|running|suspended|ready|finished");
    parser.flag("--watch", listing.repeat, "Again each --interval");
    add_interval(parser, listing.interval_ns, "Of --watch and --lint");
}

void PsCommand::add_options(OptionParser& parser)
{
    add_common_options(parser, "loopwatch ps -p PID");
    add_filter_options(parser);
    parser.value("--sort",
                 choice_value<TaskOrder>(listing.order, {{"id", TaskOrder::id},
                                                         {"age", TaskOrder::age},
                                                         {"busy", TaskOrder::busy},
                                                         {"cpu", TaskOrder::busy},
                                                         {"resumes", TaskOrder::resumes}}),
                 "By what (id); cpu is busy", "id|age|busy|cpu|resumes");
    parser.flag("--lint", listing.lint, "Look again after --interval, and report what is wrong with the tasks");
    const auto take = number_value<std::uint64_t>(listing.max_frame, 1, 1u << 30, "bytes, 1 to 1073741824");
    parser.value(
        "--max-frame",
        [this, take](const std::string& text) {
            max_frame_given_ = true;
            return take(text);
        },
        "--lint: coroutine frames above this size (" + std::to_string(listing.max_frame) + ")", "BYTES");
    parser.check([this]() -> std::optional<Error> {
        if (listing.lint || !max_frame_given_) return std::nullopt;
        return Error{ExitCode::usage, "--max-frame: only --lint looks at frames", "loopwatch ps --lint -p PID"};
    });
}

void TreeCommand::add_options(OptionParser& parser)
{
    listing.shape = TaskShape::tree;
    add_common_options(parser, "loopwatch tree -p PID");
    add_filter_options(parser);
}

void WhereCommand::add_options(OptionParser& parser)
{
    listing.shape = TaskShape::whole;
    add_common_options(parser, "loopwatch where -p PID ID");
    parser.word("TASK", task_, "ID");
    parser.check([this]() -> std::optional<Error> {
        const auto number = task_.rfind('#') + 1;
        if (number != 0) listing.task_name = task_.substr(0, number - 1);
        if (task_.empty()) return Error{ExitCode::usage, "where: no task given", "loopwatch where -p PID ID"};
        const auto bad =
            number_value<std::uint64_t>(listing.task, 1, std::numeric_limits<std::uint64_t>::max(),
                                        "the task's number, as ps shows it behind the #")(task_.substr(number));
        if (!bad) return std::nullopt;
        return Error{ExitCode::usage, "where: " + bad->what, bad->hint};
    });
}

}  // namespace loopwatch
