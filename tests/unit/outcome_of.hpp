// SPDX-License-Identifier: Apache-2.0
//
// What a task ended with, in a word, so that a test can compare it.
#pragma once

#include <exception>
#include <string>
#include <utility>

#include <loopwatch/rt.hpp>

inline loopwatch::Task<std::string> outcome_of(loopwatch::Task<> task)
{
    try {
        co_await std::move(task);
    } catch (const loopwatch::Cancelled& request) {
        co_return "cancelled: " + request.reason();
    } catch (const loopwatch::TimedOut&) {
        co_return "timed out";
    } catch (const std::exception& error) {
        co_return error.what();
    }
    co_return "done";
}

// Of a task that was spawned.
template <class T>
loopwatch::Task<std::string> outcome_of(loopwatch::JoinHandle<T>& task)
{
    co_return co_await outcome_of([](loopwatch::JoinHandle<T>& task) -> loopwatch::Task<> { co_await task; }(task));
}
