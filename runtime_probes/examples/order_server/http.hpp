// SPDX-License-Identifier: Apache-2.0
//
// HTTP/1.1 requests and responses. The grammar is http_parser's; here stand the limits and the error codes.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include <http_parser.h>

namespace shop {

struct Request {
    http_method method = HTTP_GET;
    std::string path;
    std::string body;
    bool keep_alive = true;
};

struct Response {
    http_status status = HTTP_STATUS_OK;
    std::string body;   // JSON
    std::string allow;  // methods, with a 405
};

// {"error": the status in words}
Response error_response(http_status status);

// The bytes to send. Those of a HEAD request say how long the body would have been and leave it out.
std::string render(const Response& response, bool keep_alive, bool without_body);

// One request after the other from a stream of bytes, however they are cut or pipelined.
class RequestParser {
public:
    static constexpr std::size_t max_header_bytes = 8 * 1024;  // request line and fields; more: 431
    static constexpr std::size_t max_body_bytes = 64 * 1024;   // more: 413

    RequestParser();
    // http_parser points back here.
    RequestParser(const RequestParser&) = delete;
    RequestParser& operator=(const RequestParser&) = delete;

    enum class Progress { needs_more, complete, failed };
    // Takes bytes off the front of `input` up to the end of one request. After `complete` the next call begins another
    // request, after `failed` there is none: answer error() and close.
    Progress feed(std::string_view& input);
    Request take() { return std::move(request_); }
    http_status error() const noexcept { return error_; }

private:
    static http_parser_settings make_settings();
    int headers_complete();
    int refuse(http_status status);

    http_parser parser_;
    Request request_;
    std::string target_;
    std::string field_;  // name of the header field being read
    bool field_ended_ = false;
    bool has_host_ = false;
    bool complete_ = false;
    http_status error_ = HTTP_STATUS_OK;
};

}  // namespace shop
