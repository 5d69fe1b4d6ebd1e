#include "pool.hpp"

namespace fieldpack::train {

// Rounds follow each other within microseconds, so a worker looks a while before it sleeps.
static constexpr int kSpins = 4000;

static inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

ThreadPool::ThreadPool(int threads) {
  for (int t = 1; t < threads; ++t) workers_.emplace_back([this, t] { work(t); });
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    ++round_;
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run(int jobs, const Job& job) {
  if (workers_.empty() || jobs <= 1) {
    for (int j = 0; j < jobs; ++j) job(j, 0);
    return;
  }
  {
    std::lock_guard lock(mutex_);
    job_ = &job;
    jobs_ = jobs;
    next_ = 0;
    busy_ = int(workers_.size());
    ++round_;
  }
  wake_.notify_all();
  for (int j = next_++; j < jobs; j = next_++) job(j, 0);
  for (int spins = 0; busy_.load(std::memory_order_acquire) > 0; ++spins) {
    if (spins < kSpins) relax();
    else std::this_thread::yield();
  }
}

void ThreadPool::work(int thread) {
  unsigned seen = 0;
  for (;;) {
    for (int spins = 0; round_.load(std::memory_order_acquire) == seen && spins < kSpins; ++spins)
      relax();
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return round_ != seen; });
      seen = round_;
      if (stop_) return;
    }
    for (int j = next_++; j < jobs_; j = next_++) (*job_)(j, thread);
    busy_.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace fieldpack::train
