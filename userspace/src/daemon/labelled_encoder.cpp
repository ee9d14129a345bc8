// SPDX-License-Identifier: Apache-2.0
#include "daemon/labelled_encoder.hpp"

#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <utility>
#include <variant>

#include "output/formats.hpp"
#include "output/record_json.hpp"

namespace loopwatch {

namespace {

constexpr std::string_view schema_field = R"({"schema":"loopwatch/1",)";
constexpr std::string_view stack_head = R"({"schema":"loopwatch/1","type":"stack")";
constexpr std::size_t version_digits = 12;  // of a build-id

std::unique_ptr<Encoder> interned_encoder()
{
    EncoderOptions options;
    options.interned = true;
    return make_ndjson(options);
}

std::optional<std::uint32_t> pid_of(const Report& report)
{
    std::optional<std::uint32_t> pid;
    for_each_record(report, [&](const auto& record) {
        if constexpr (requires { record.subject.pid; }) pid = record.subject.pid;
        if constexpr (requires { record.target->pid; })
            if (record.target) pid = record.target->pid;
    });
    return pid;
}

}  // namespace

std::string label_fields(const TargetLabels& labels, const std::string& build_id)
{
    auto fields = nlohmann::ordered_json::object();
    const auto add = [](auto& to, const char* name, const std::string& value) {
        if (!value.empty()) to[name] = value;
    };
    add(fields, "service", labels.service);
    add(fields, "version", labels.version.empty() ? build_id.substr(0, version_digits) : labels.version);
    add(fields, "unit", labels.unit);
    add(fields, "container", labels.container_id);
    add(fields, "pod", labels.pod_name);
    auto more = nlohmann::ordered_json::object();
    add(more, "service_instance", labels.instance);
    add(more, "unit_instance", labels.unit_instance);
    add(more, "pod_namespace", labels.pod_namespace);
    add(more, "image", labels.image);
    for (const auto& [name, value] : labels.custom) more[name] = value;
    if (!more.empty()) fields["labels"] = std::move(more);
    if (fields.empty()) return "";
    auto text = fields.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    text.back() = ',';
    return text.substr(1);
}

LabelledEncoder::LabelledEncoder(LabelsOf labels_of, std::uint32_t hidden_pid)
    : labels_of_(std::move(labels_of)), hidden_pid_(hidden_pid), encoder_(interned_encoder())
{
}

void LabelledEncoder::forget_stacks()
{
    encoder_ = interned_encoder();
}

void LabelledEncoder::encode(const Report& report, std::string& lines)
{
    const auto pid = pid_of(report);
    if (pid && *pid == hidden_pid_) return;
    if (const auto* const start = std::get_if<TargetStart>(&report)) {
        const auto labels = labels_of_(*pid);
        fields_[*pid] = labels ? label_fields(*labels, start->build_id) : "";
    }
    std::string plain;
    encoder_->encode(report, plain);
    const auto known = pid ? fields_.find(*pid) : fields_.end();
    if (known == fields_.end() || known->second.empty()) {
        lines += plain;
    } else {
        for (std::string_view rest = plain; !rest.empty();) {
            const auto line = rest.substr(0, rest.find('\n') + 1);
            rest.remove_prefix(line.size());
            const bool labelled = line.starts_with(schema_field) && !line.starts_with(stack_head);
            if (labelled) lines += std::string(schema_field) + known->second;
            lines += labelled ? line.substr(schema_field.size()) : line;
        }
    }
    if (std::holds_alternative<TargetEnd>(report)) fields_.erase(*pid);
}

}  // namespace loopwatch
