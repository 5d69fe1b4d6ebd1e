// A fixed set of threads that share numbered jobs.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace fieldpack::train {

class ThreadPool {
 public:
  using Job = std::function<void(int job, int thread)>;

  explicit ThreadPool(int threads);  // counts the calling thread
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return int(workers_.size()) + 1; }

  // Calls job(0..jobs - 1, thread), each once, in no given order; returns when all are done.
  void run(int jobs, const Job& job);

 private:
  void work(int thread);

  std::vector<std::thread> workers_;
  const Job* job_ = nullptr;
  int jobs_ = 0;
  std::atomic<int> next_{0};
  std::atomic<int> busy_{0};
  std::atomic<unsigned> round_{0};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
};

}  // namespace fieldpack::train
