// Runs independent tasks on several threads. Which thread runs a task must not matter.
#pragma once

#include <atomic>
#include <cstddef>
#include <system_error>
#include <thread>
#include <vector>

namespace fieldpack {

inline int usable_threads(int requested) {
    if (requested > 0) return requested < 256 ? requested : 256;
    const unsigned available = std::thread::hardware_concurrency();
    return available > 0 ? static_cast<int>(available) : 1;
}

// Calls task(worker, index) for every index in [0, count), each once; worker is in [0, threads)
// and tells which scratch memory is free. `task` must not throw.
template <class Task>
void run_parallel(int threads, std::size_t count, const Task& task) {
    std::atomic<std::size_t> next{0};
    const auto work = [&](int worker) {
        for (std::size_t i = next.fetch_add(1); i < count; i = next.fetch_add(1)) task(worker, i);
    };
    std::vector<std::thread> helpers;
    helpers.reserve(static_cast<std::size_t>(threads));
    try {
        for (int worker = 1; worker < threads && std::size_t(worker) < count; ++worker)
            helpers.emplace_back(work, worker);
    } catch (const std::system_error&) {
        // The system gives no more threads: those there are do the work.
    }
    work(0);
    for (auto& helper : helpers) helper.join();
}

}  // namespace fieldpack
