// SPDX-License-Identifier: Apache-2.0
#include "endpoints.hpp"

#include <algorithm>
#include <chrono>
#include <exception>
#include <span>
#include <string_view>
#include <thread>

#include <nlohmann/json.hpp>

namespace shop {
namespace {

using namespace std::chrono_literals;
using loopwatch::run_in_executor;
using loopwatch::Task;
using nlohmann::json;

constexpr auto courier_takes = 150ms;

Response ok(const json& body)
{
    return {HTTP_STATUS_OK, body.dump(), {}};
}

Task<Response> show_shop(Desk desk, Request)
{
    co_return ok({{"shop", "loopwatch example"}, {"orders_taken", desk.shop.orders_taken.load()}});
}

Task<Response> show_order(Desk desk, Request)
{
    co_return ok({{"id", desk.shop.orders_taken.load()}, {"article", "bolt-m8"}, {"quantity", 3}, {"price_cents", 36}});
}

Task<Response> take_order(Desk desk, Request request)
{
    const json order = json::parse(request.body, nullptr, false);
    const auto has = [&](const char* key) { return order.is_object() && order.contains(key); };
    if (!has("article") || !order["article"].is_string() || !has("quantity") || !order["quantity"].is_number_unsigned())
        co_return error_response(HTTP_STATUS_BAD_REQUEST);
    const auto id = ++desk.shop.orders_taken;
    const json receipt{{"id", id}, {"article", order["article"]}, {"quantity", order["quantity"]}};
    co_return Response{HTTP_STATUS_CREATED, receipt.dump(), {}};
}

// --- saving: the disk decides how long it takes ---
Response saved_response(std::size_t orders)
{
    return ok({{"saved", orders}});
}

Task<> save_batch(Store& store, std::size_t orders)
{
    store.flush(orders);
    co_return;
}

Task<Response> save_orders(Desk desk, Request)
{
    const auto orders = desk.shop.store.batch_size();
    co_await save_batch(desk.shop.store, orders);
    co_return saved_response(orders);
}

Task<Response> save_orders_in_executor(Desk desk, Request)
{
    const auto orders = desk.shop.store.batch_size();
    co_await run_in_executor([orders, &store = desk.shop.store] { store.flush(orders); });
    co_return saved_response(orders);
}

// --- a mutex that another thread holds for long ---
Task<Response> quote_price(Desk desk, Request)
{
    co_return ok({{"article", "bolt-m8"}, {"price_cents", desk.shop.catalog.fresh_price("bolt-m8")}});
}

Task<Response> quote_price_in_executor(Desk desk, Request)
{
    const int price =
        co_await run_in_executor([&catalog = desk.shop.catalog] { return catalog.fresh_price("bolt-m8"); });
    co_return ok({{"article", "bolt-m8"}, {"price_cents", price}});
}

// --- work for the CPU ---
Response import_response(const ImportSummary& summary)
{
    return ok({{"imported", summary.orders}, {"first_customer", summary.first_customer}, {"total", summary.total}});
}

Task<Response> import_orders(Desk desk, Request)
{
    co_return import_response(parse_orders(desk.shop.order_batch));
}

Task<Response> import_orders_in_executor(Desk desk, Request)
{
    co_return import_response(
        co_await run_in_executor([&batch = desk.shop.order_batch] { return parse_orders(batch); }));
}

// --- a name server that takes its time ---
Task<Response> find_supplier(Desk desk, Request)
{
    co_return ok({{"supplier", resolve_supplier(desk.shop.name_server.port())}});
}

// Asio's resolver does the same, on a thread of its own; but that thread would ask the system's name server.
Task<Response> find_supplier_in_executor(Desk desk, Request)
{
    const auto port = desk.shop.name_server.port();
    const std::string address = co_await run_in_executor([port] { return resolve_supplier(port); });
    co_return ok({{"supplier", address}});
}

// --- waiting for time to pass ---
void wait_for_courier()
{
    std::this_thread::sleep_for(courier_takes);
}

Task<Response> hand_over(Desk, Request)
{
    wait_for_courier();
    co_return ok({{"courier", "gone"}});
}

Task<Response> hand_over_later(Desk, Request)
{
    co_await loopwatch::sleep_for(courier_takes);
    co_return ok({{"courier", "gone"}});
}

// --- a full pipe ---
Task<Response> write_log(Desk desk, Request)
{
    desk.shop.access_log.append(desk.shop.log_record);
    co_return ok({{"logged_bytes", desk.shop.log_record.size()}});
}

Task<Response> queue_log(Desk desk, Request)
{
    const bool queued = desk.access_log.append(desk.shop.log_record);
    co_return ok({{"logged_bytes", queued ? desk.shop.log_record.size() : 0}});
}

struct Route {
    http_method method;
    std::string_view path;
    Task<Response> (*handler)(Desk, Request);
};

constexpr Route routes[] = {
    {HTTP_GET, "/", show_shop},
    {HTTP_GET, "/order", show_order},
    {HTTP_POST, "/order", take_order},
    {HTTP_GET, "/fsync", save_orders},
    {HTTP_GET, "/ok/fsync", save_orders_in_executor},
    {HTTP_GET, "/lock", quote_price},
    {HTTP_GET, "/ok/lock", quote_price_in_executor},
    {HTTP_GET, "/cpu", import_orders},
    {HTTP_GET, "/ok/cpu", import_orders_in_executor},
    {HTTP_GET, "/dns", find_supplier},
    {HTTP_GET, "/ok/dns", find_supplier_in_executor},
    {HTTP_GET, "/sleep", hand_over},
    {HTTP_GET, "/ok/sleep", hand_over_later},
    {HTTP_GET, "/log", write_log},
    {HTTP_GET, "/ok/log", queue_log},
};

const Route* find_route(const Request& request)
{
    const auto method = request.method == HTTP_HEAD ? HTTP_GET : request.method;
    const auto found = std::ranges::find_if(
        routes, [&](const Route& route) { return route.path == request.path && route.method == method; });
    return found == std::end(routes) ? nullptr : found;
}

// The path is unknown, or it is known and does not take this method.
Response refuse(const Request& request)
{
    std::string allow;
    for (const Route& route : routes)
        if (route.path == request.path)
            allow += (allow.empty() ? "" : ", ") + std::string(route.method == HTTP_GET ? "GET, HEAD" : "POST");
    if (allow.empty()) return error_response(HTTP_STATUS_NOT_FOUND);
    Response response = error_response(HTTP_STATUS_METHOD_NOT_ALLOWED);
    response.allow = allow;
    return response;
}

}  // namespace

std::string task_name(const Request& request)
{
    const std::string method = http_method_str(request.method);
    return find_route(request) != nullptr ? method + ' ' + request.path : method;
}

Task<Response> handle_request(Desk desk, Request request)
{
    const Route* const route = find_route(request);
    if (route == nullptr) co_return refuse(request);
    try {
        co_return co_await route->handler(desk, std::move(request));
    } catch (const std::exception&) {
        // What went wrong is none of the client's business.
    }
    co_return error_response(HTTP_STATUS_INTERNAL_SERVER_ERROR);
}

}  // namespace shop
