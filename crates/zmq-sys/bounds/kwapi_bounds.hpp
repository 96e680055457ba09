//  Bounds that libzmq does not have: on what a stranger may make it keep.
//  Written for Kwapi; under libzmq's own licence, MPL-2.0, as it is built into it.

#ifndef KWAPI_BOUNDS_HPP_INCLUDED
#define KWAPI_BOUNDS_HPP_INCLUDED

#include <stddef.h>
#include <stdint.h>
#include <atomic>

namespace kwapi
{
//  A message of ours has 2 frames. One of 3 or 4 arrives, and is refused with
//  its cause; one of more costs its sender the connection.
const size_t frames_max = 4;

//  A subscription is a probe's id, at most 200 bytes, and a dot.
const size_t prefix_bytes_max = 256;
//  Subscriptions that each peer is granted whatever the others have.
const size_t subscriptions_few = 16;
//  Subscriptions of one peer, and of all peers of a socket: some 100 bytes each.
const size_t subscriptions_of_peer_max = 10000;
const size_t subscriptions_max = 200000;
//  Different prefixes of a socket and their bytes: up to some 5 000 bytes each
//  prefix, and 50 each byte.
const size_t prefixes_max = 20000;
const size_t bytes_of_prefixes_max = 1 << 20;
//  Subscriptions, their ends and other messages that wait for the owner of an
//  XPUB socket.
const size_t pending_max = 65536;

//  Connections that were accepted and still stand, in this process, and how
//  many there may be.
extern std::atomic<uint64_t> connections;
extern std::atomic<uint64_t> connections_max;

//  What was refused since the process began.
extern std::atomic<uint64_t> connections_refused;
extern std::atomic<uint64_t> messages_refused;
extern std::atomic<uint64_t> subscriptions_refused;

inline void count (std::atomic<uint64_t> &counter_)
{
    counter_.fetch_add (1, std::memory_order_relaxed);
}
}

#endif
