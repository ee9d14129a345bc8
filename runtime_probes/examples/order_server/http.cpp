// SPDX-License-Identifier: Apache-2.0
#include "http.hpp"

#include <array>
#include <cstdint>
#include <ctime>

#include <strings.h>

#include <nlohmann/json.hpp>

namespace shop {
namespace {

RequestParser& parser_of(http_parser* parser)
{
    return *static_cast<RequestParser*>(parser->data);
}

// RFC 9110 §5.6.7, "Sun, 06 Nov 1994 08:49:37 GMT". The program keeps the C locale.
std::string date()
{
    const std::time_t seconds = std::time(nullptr);
    std::tm parts{};
    gmtime_r(&seconds, &parts);
    std::array<char, 32> text{};
    return {text.data(), std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &parts)};
}

}  // namespace

Response error_response(http_status status)
{
    return {status, nlohmann::json{{"error", http_status_str(status)}}.dump(), {}};
}

std::string render(const Response& response, bool keep_alive, bool without_body)
{
    std::string text = "HTTP/1.1 " + std::to_string(response.status) + ' ' + http_status_str(response.status);
    text += "\r\nDate: " + date() + "\r\nContent-Type: application/json";
    text += "\r\nContent-Length: " + std::to_string(response.body.size());
    if (!response.allow.empty()) text += "\r\nAllow: " + response.allow;
    text += keep_alive ? "\r\nConnection: keep-alive\r\n\r\n" : "\r\nConnection: close\r\n\r\n";
    if (!without_body) text += response.body;
    return text;
}

RequestParser::RequestParser()
{
    http_parser_init(&parser_, HTTP_REQUEST);
    parser_.data = this;
}

http_parser_settings RequestParser::make_settings()
{
    // Process-wide; the library's own limit is 80 KiB.
    http_parser_set_max_header_size(max_header_bytes);
    http_parser_settings settings;
    http_parser_settings_init(&settings);
    settings.on_message_begin = [](http_parser* parser) {
        RequestParser& self = parser_of(parser);
        self.request_ = {};
        self.target_.clear();
        self.field_.clear();
        self.field_ended_ = self.has_host_ = self.complete_ = false;
        return 0;
    };
    settings.on_url = [](http_parser* parser, const char* text, std::size_t size) {
        parser_of(parser).target_.append(text, size);
        return 0;
    };
    settings.on_header_field = [](http_parser* parser, const char* text, std::size_t size) {
        RequestParser& self = parser_of(parser);
        if (std::exchange(self.field_ended_, false)) self.field_.clear();
        self.field_.append(text, size);
        return 0;
    };
    settings.on_header_value = [](http_parser* parser, const char*, std::size_t) {
        RequestParser& self = parser_of(parser);
        self.field_ended_ = true;
        self.has_host_ = self.has_host_ || strcasecmp(self.field_.c_str(), "host") == 0;
        return 0;
    };
    settings.on_headers_complete = [](http_parser* parser) { return parser_of(parser).headers_complete(); };
    settings.on_body = [](http_parser* parser, const char* text, std::size_t size) {
        RequestParser& self = parser_of(parser);
        // A chunked body does not say its length before.
        if (self.request_.body.size() + size > max_body_bytes) return self.refuse(HTTP_STATUS_PAYLOAD_TOO_LARGE);
        self.request_.body.append(text, size);
        return 0;
    };
    settings.on_message_complete = [](http_parser* parser) {
        RequestParser& self = parser_of(parser);
        self.request_.keep_alive = http_should_keep_alive(parser) != 0 && parser->upgrade == 0;
        self.complete_ = true;
        // What follows belongs to the next request.
        http_parser_pause(parser, 1);
        return 0;
    };
    return settings;
}

int RequestParser::refuse(http_status status)
{
    error_ = status;
    return -1;
}

int RequestParser::headers_complete()
{
    constexpr auto no_length = ~std::uint64_t{0};
    if (parser_.content_length != no_length && parser_.content_length > max_body_bytes)
        return refuse(HTTP_STATUS_PAYLOAD_TOO_LARGE);
    if (parser_.http_major != 1) return refuse(HTTP_STATUS_HTTP_VERSION_NOT_SUPPORTED);
    // RFC 9112 §3.2: a 1.1 request without Host must be refused.
    if (parser_.http_minor > 0 && !has_host_) return refuse(HTTP_STATUS_BAD_REQUEST);
    http_parser_url url;
    http_parser_url_init(&url);
    const bool is_connect = parser_.method == HTTP_CONNECT;
    if (http_parser_parse_url(target_.data(), target_.size(), is_connect, &url) != 0)
        return refuse(HTTP_STATUS_BAD_REQUEST);
    request_.method = static_cast<http_method>(parser_.method);
    if ((url.field_set & (1 << UF_PATH)) != 0)
        request_.path = target_.substr(url.field_data[UF_PATH].off, url.field_data[UF_PATH].len);
    return 0;
}

RequestParser::Progress RequestParser::feed(std::string_view& input)
{
    static const http_parser_settings settings = make_settings();
    if (HTTP_PARSER_ERRNO(&parser_) == HPE_PAUSED) http_parser_pause(&parser_, 0);
    complete_ = false;
    input.remove_prefix(http_parser_execute(&parser_, &settings, input.data(), input.size()));
    if (complete_) return Progress::complete;
    if (HTTP_PARSER_ERRNO(&parser_) == HPE_OK) return Progress::needs_more;
    if (error_ == HTTP_STATUS_OK) {
        const bool overflow = HTTP_PARSER_ERRNO(&parser_) == HPE_HEADER_OVERFLOW;
        error_ = overflow ? HTTP_STATUS_REQUEST_HEADER_FIELDS_TOO_LARGE : HTTP_STATUS_BAD_REQUEST;
    }
    return Progress::failed;
}

}  // namespace shop
