// SPDX-License-Identifier: Apache-2.0
//
// `loopwatch status`, `targets`, `reload` and `dump`: each asks the running daemon and prints its answer.
#include <nlohmann/json.hpp>

#include "command/command.hpp"
#include "command/control_client.hpp"
#include "command/ending_signals.hpp"
#include "command/json_text.hpp"
#include "output/output.hpp"
#include "util/text.hpp"

namespace loopwatch {

namespace {

class DaemonQuery : public Command {
public:
    explicit DaemonQuery(const char* command) : command_(command) {}

    void add_options(OptionParser& parser) override
    {
        parser.value("--socket", text_value(socket_, default_control_socket),
                     std::string("Where the daemon listens (") + default_control_socket + ")", "PATH");
        parser.value("--format", choice_value<bool>(json_, {{"text", false}, {"json", true}}),
                     json_ ? "How the answer is written (json)" : "How the answer is written (text)", "text|json");
    }
    Result<int> run() override
    {
        unblock_ending_signals();
        const auto answer = ask_daemon(socket_, command_, nlohmann::json::object());
        if (!answer) return answer.error();
        // Opened once there is something to write: a daemon that does not run destroys no earlier file.
        auto output = Output::open(file_);
        if (!output) return output.error();
        if (auto written = output->write_lines(text_of(*answer, output->is_terminal())); !written)
            return written.error();
        if (auto settled = output->settle(); !settled) return settled.error();
        return static_cast<int>(exit_code(*answer));
    }

protected:
    virtual ExitCode exit_code(const nlohmann::json&) const { return ExitCode::done; }

    bool json_ = false;
    std::string file_ = "-";

private:
    std::string text_of(const nlohmann::json& answer, bool terminal) const
    {
        if (const auto lines = answer.find("lines"); lines != answer.end() && lines->is_string())
            return lines->get<std::string>();
        if (!json_) return json_as_text(answer);
        const auto text = answer.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
        return terminal ? escape_json(text) : text;
    }

    const char* command_;
    std::string socket_ = default_control_socket;
};

class StatusQuery : public DaemonQuery {
public:
    StatusQuery() : DaemonQuery("status") {}

private:
    ExitCode exit_code(const nlohmann::json& answer) const override
    {
        const auto healthy = answer.find("healthy");
        const bool ill = healthy != answer.end() && healthy->is_boolean() && !healthy->get<bool>();
        return ill ? ExitCode::failed : ExitCode::done;
    }
};

class DumpQuery : public DaemonQuery {
public:
    DumpQuery() : DaemonQuery("dump") { json_ = true; }

    void add_options(OptionParser& parser) override
    {
        DaemonQuery::add_options(parser);
        parser.value("-o,--output", text_value(file_, "a file, or - for stdout"), "Where to write it (-: stdout)",
                     "FILE");
    }
};

}  // namespace

std::unique_ptr<Command> make_status()
{
    return std::make_unique<StatusQuery>();
}

std::unique_ptr<Command> make_targets()
{
    return std::make_unique<DaemonQuery>("targets");
}

std::unique_ptr<Command> make_reload()
{
    return std::make_unique<DaemonQuery>("reload");
}

std::unique_ptr<Command> make_dump()
{
    return std::make_unique<DumpQuery>();
}

}  // namespace loopwatch
