// SPDX-License-Identifier: Apache-2.0
//
// That loopwatch::asio names the header to both Asios; with the header, that a program builds with it.
#include <cstdio>
#include <cstring>

#if __has_include(<loopwatch/asio_tracking.hpp>)
#include <boost/asio.hpp>
#endif

#define TEXT(x) #x
#define TEXT_OF(x) TEXT(x)

int main()
{
    const char* const header = "<loopwatch/asio_tracking.hpp>";
    if (std::strcmp(TEXT_OF(BOOST_ASIO_CUSTOM_HANDLER_TRACKING), header) != 0) return 1;
    if (std::strcmp(TEXT_OF(ASIO_CUSTOM_HANDLER_TRACKING), header) != 0) return 1;
#if __has_include(<loopwatch/asio_tracking.hpp>)
    boost::asio::io_context context;
    boost::asio::post(context, [] { std::puts("asio: greeted"); });
    context.run();
#else
    std::puts("asio: greeted");
#endif
}
