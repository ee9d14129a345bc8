// SPDX-License-Identifier: Apache-2.0
#include "orders.hpp"

#include <algorithm>
#include <random>
#include <tuple>
#include <vector>

#include <nlohmann/json.hpp>

namespace shop {

std::string make_order_batch()
{
    constexpr int orders = 80'000;
    std::minstd_rand random(20);  // fixed: every run does the same work
    auto batch = nlohmann::json::array();
    for (int number = 0; number < orders; ++number)
        batch.push_back({{"id", number},
                         {"customer", "customer-" + std::to_string(random() % 5'000)},
                         {"article", "article-" + std::to_string(random() % 500)},
                         {"quantity", random() % 9 + 1},
                         {"price", static_cast<double>(random() % 10'000) / 100}});
    return batch.dump();
}

ImportSummary parse_orders(std::string_view json)
{
    auto document = nlohmann::json::parse(json);
    auto& orders = document.get_ref<nlohmann::json::array_t&>();
    const auto text = [](const nlohmann::json& order, const char* key) -> const std::string& {
        return order.at(key).get_ref<const std::string&>();
    };
    std::ranges::sort(orders, [&](const nlohmann::json& a, const nlohmann::json& b) {
        return std::tie(text(a, "customer"), text(a, "article")) < std::tie(text(b, "customer"), text(b, "article"));
    });
    ImportSummary summary{orders.size(), text(orders.at(0), "customer"), 0};
    for (const auto& order : orders) summary.total += order.at("quantity").get<int>() * order.at("price").get<double>();
    return summary;
}

}  // namespace shop
