// SPDX-License-Identifier: Apache-2.0
//
// ExceptionGroup: several exceptions thrown as one, what Python calls so.
#pragma once

#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace loopwatch {

// What TaskGroup::join and gather throw if more than one task failed. Copies share the exceptions.
class ExceptionGroup : public std::exception {
public:
    // Errors: std::bad_alloc.
    explicit ExceptionGroup(std::vector<std::exception_ptr> exceptions)
        : content_(std::make_shared<const Content>(std::move(exceptions)))
    {
    }

    // "3 tasks failed: no more paper; timed out; an exception without a text"
    const char* what() const noexcept override { return content_->text.c_str(); }
    // The one that failed first comes first, the others follow in the order in which they were spawned. One of them may
    // be an ExceptionGroup itself.
    const std::vector<std::exception_ptr>& exceptions() const noexcept { return content_->exceptions; }
    // Calls `handle` with each exception that is an E, as Python's `except*` does, also with those of groups within
    // this one; with such a group itself if E is ExceptionGroup. Returns the others: rethrow one, or make an
    // ExceptionGroup of them. What `handle` throws passes through at once; the exceptions that were not visited remain
    // in this group.
    template <class E, class F>
    std::vector<std::exception_ptr> each(F handle) const
    {
        std::vector<std::exception_ptr> others;
        for (const std::exception_ptr& exception : exceptions()) {
            if constexpr (!std::is_base_of_v<ExceptionGroup, E>) {
                if (const auto inner = group_in(exception)) {
                    for (std::exception_ptr& other : inner->template each<E>(handle))
                        others.push_back(std::move(other));
                    continue;
                }
            }
            try {
                std::rethrow_exception(exception);
            } catch (const E& matching) {
                handle(matching);
            } catch (...) {
                others.push_back(exception);
            }
        }
        return others;
    }

private:
    static std::optional<ExceptionGroup> group_in(const std::exception_ptr& exception)
    {
        try {
            std::rethrow_exception(exception);
        } catch (const ExceptionGroup& group) {
            return group;
        } catch (...) {
            return std::nullopt;
        }
    }

    struct Content {
        explicit Content(std::vector<std::exception_ptr> all) : exceptions(std::move(all))
        {
            text = std::to_string(exceptions.size()) + " tasks failed";
            const char* separator = ": ";
            for (const std::exception_ptr& exception : exceptions) {
                text += std::exchange(separator, "; ");
                try {
                    std::rethrow_exception(exception);
                } catch (const std::exception& thrown) {
                    text += thrown.what();
                } catch (...) {
                    text += "an exception without a text";
                }
            }
        }
        std::vector<std::exception_ptr> exceptions;
        std::string text;
    };

    std::shared_ptr<const Content> content_;
};

}  // namespace loopwatch
