//  The counters of kwapi_bounds.hpp, and C functions to read them by.
//  Under libzmq's own licence, MPL-2.0.

#include "kwapi_bounds.hpp"

namespace kwapi
{
std::atomic<uint64_t> connections (0);
//  Until set otherwise.
std::atomic<uint64_t> connections_max (512);
std::atomic<uint64_t> connections_refused (0);
std::atomic<uint64_t> messages_refused (0);
std::atomic<uint64_t> subscriptions_refused (0);
}

extern "C" {
void kwapi_zmq_limit_connections (uint64_t count_)
{
    kwapi::connections_max.store (count_, std::memory_order_relaxed);
}

uint64_t kwapi_zmq_connections ()
{
    return kwapi::connections.load (std::memory_order_relaxed);
}

uint64_t kwapi_zmq_connections_refused ()
{
    return kwapi::connections_refused.load (std::memory_order_relaxed);
}

uint64_t kwapi_zmq_messages_refused ()
{
    return kwapi::messages_refused.load (std::memory_order_relaxed);
}

uint64_t kwapi_zmq_subscriptions_refused ()
{
    return kwapi::subscriptions_refused.load (std::memory_order_relaxed);
}
}
