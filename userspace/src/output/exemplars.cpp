// SPDX-License-Identifier: Apache-2.0
#include "output/exemplars.hpp"

#include <algorithm>

namespace loopwatch {

namespace {

constexpr std::size_t most_services = 4096;
constexpr std::uint64_t second_ns = 1'000'000'000;
constexpr const char* rest = "other";

}  // namespace

// A service that nothing was found of for longest gives way to a new one.
Exemplars::Known& Exemplars::known(const std::string& service, std::string_view type, const std::string& fingerprint,
                                   std::uint64_t now_ns)
{
    if (services_.size() >= most_services && !services_.contains(service)) services_.erase(services_.begin());
    auto& fingerprints = services_[service];
    const auto name = std::string(type) + ' ' + fingerprint;
    auto one = fingerprints.find(name);
    // Of those that could be admitted again anyway nothing is lost.
    if (one == fingerprints.end() && fingerprints.size() >= limits_.most_fingerprints)
        std::erase_if(fingerprints,
                      [&](const auto& entry) { return now_ns >= entry.second.seen_ns + limits_.repeat_ns; });
    if (one == fingerprints.end())
        one = fingerprints.size() < limits_.most_fingerprints ? fingerprints.try_emplace(name).first
                                                              : fingerprints.try_emplace(rest).first;
    one->second.seen_ns = now_ns;
    return one->second;
}

bool Exemplars::take_token(std::uint64_t now_ns)
{
    if (now_ns > filled_ns_ && filled_ns_ != 0)
        tokens_ += static_cast<double>(now_ns - filled_ns_) / static_cast<double>(second_ns) * limits_.rate * share_;
    filled_ns_ = std::max(filled_ns_, now_ns);
    tokens_ = std::min(tokens_, std::max(1.0, limits_.burst * share_));
    if (tokens_ < 1) return false;
    tokens_ -= 1;
    return true;
}

bool Exemplars::admit(std::string_view type, std::uint32_t pid, const std::string& fingerprint,
                      std::uint64_t duration_ns, std::uint64_t now_ns)
{
    auto& of = known(service_of_(pid), type, fingerprint, now_ns);
    const bool first = of.admitted_ns == 0, due = now_ns >= of.admitted_ns + limits_.repeat_ns;
    const bool longer = static_cast<double>(duration_ns) >= static_cast<double>(of.longest_ns) * much_longer;
    if ((first || due || (longer && duration_ns)) && take_token(now_ns)) {
        of.admitted_ns = now_ns;
        of.longest_ns = std::max(of.longest_ns, duration_ns);
        return true;
    }
    ++suppressed_[std::string(type)];
    return false;
}

}  // namespace loopwatch
