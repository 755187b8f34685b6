// The threads of a library: pieces of a parallel loop are run by whichever thread is free.
//
// TVM's runtime gives every thread an equal share of a loop and waits for the slowest, so a thread
// that shares its core with another process is late at every loop of a network. Here a loop has
// more pieces than there are threads. Every thread begins with an equal share of them, in order,
// and then takes pieces from the end of the others' shares. What a thread that does not run can
// delay is the one piece that it is at.
//
// Kernels call what `__TVMBackendParallelLaunch` points to, which TVM's runtime sets when it loads
// a library. `threads.py` renames that pointer in the kernels to the one at the end of this file.

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#ifndef CHAMELEON_THREADS
#define CHAMELEON_THREADS 0
#endif

struct Env {  // TVM's TVMParallelGroupEnv
  void* sync_handle;
  int32_t pieces;
};
using Body = int (*)(int piece, Env* env, void* data);  // TVM's FTVMParallelLambda

// TVM's runtime, which every program with a library has loaded.
extern "C" __attribute__((weak)) void TVMFFIErrorSetRaisedFromCStr(const char* kind,
                                                                   const char* message);

namespace {

constexpr int kPiecesPerThread = 16;  // as many as MetaSchedule makes for a core
constexpr int kMostPieces = 0xFFFF;  // a share has 16 bits for one
constexpr auto kAwake = std::chrono::microseconds(200);  // then an idle thread sleeps
constexpr int kPauses = 64;  // between two looks at the clock
constexpr int kPatience = 2048;  // pauses before a thread that waits lets others run

thread_local bool inside = false;  // whether this thread is running a piece
thread_local int wanted = 0;  // threads for its next loops, if it has said how many
int forks = 0;  // how many forks this process comes from: each left the threads behind

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

int Threads() {
  const char* asked = std::getenv("TVM_NUM_THREADS");
  const int threads = asked ? std::atoi(asked) : CHAMELEON_THREADS;
  return std::max<int>(threads > 0 ? threads : std::thread::hardware_concurrency(), 1);
}

// The pieces of a loop that a thread has left, in one word: the number of the loop in the upper
// half, then the next piece, then the end. So one exchange takes a piece, of no other loop.
class alignas(128) Share {
 public:
  void Set(uint32_t loop, uint32_t next, uint32_t end) {
    word_.store(uint64_t{loop} << 32 | next << 16 | end, std::memory_order_release);
  }

  // Returns a piece of the loop, or -1. Its owner takes the first, another thread the last.
  int Take(uint32_t loop, bool mine) {
    uint64_t word = word_.load(std::memory_order_acquire);
    for (;;) {
      const uint32_t next = word >> 16 & 0xFFFF, end = word & 0xFFFF;
      if (uint32_t(word >> 32) != loop || next >= end) return -1;
      const uint64_t rest = mine ? word + (1 << 16) : word - 1;
      if (word_.compare_exchange_weak(word, rest, std::memory_order_acq_rel)) {
        return mine ? next : end - 1;
      }
    }
  }

 private:
  std::atomic<uint64_t> word_{0};
};

int Fail(const char* message) {
  if (TVMFFIErrorSetRaisedFromCStr) TVMFFIErrorSetRaisedFromCStr("RuntimeError", message);
  return -1;
}

// The threads that help one thread of the program; it is number 0.
class Pool {
 public:
  explicit Pool(int threads) : threads_(threads), forks_(forks), shares_(new Share[threads]) {
    helpers_.reserve(threads - 1);
    try {
      for (int i = 1; i < threads; ++i) helpers_.emplace_back([this, i] { Help(i); });
    } catch (const std::system_error&) {  // no more threads: the others take their pieces
    }
  }

  ~Pool() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      ending_ = true;
      loop_.fetch_add(1);
    }
    awake_.notify_all();
    for (auto& helper : helpers_) helper.join();
  }

  // Whether the threads are those of the process that this one was forked from.
  bool Lost() const { return forks_ != forks; }

  int Threads() const { return threads_; }

  int Run(Body body, void* data, int pieces) {
    body_ = body;
    data_ = data;
    env_.pieces = pieces;
    failed_.store(-1, std::memory_order_relaxed);
    left_.store(pieces, std::memory_order_relaxed);
    const uint32_t loop = loop_.load(std::memory_order_relaxed) + 1;
    for (int i = 0; i < threads_; ++i) {
      shares_[i].Set(loop, pieces * i / threads_, pieces * (i + 1) / threads_);
    }
    loop_.store(loop);
    if (asleep_.load() > 0) {
      { std::lock_guard<std::mutex> lock(mutex_); }
      awake_.notify_all();
    }
    RunPieces(0, loop);
    for (int i = 0; left_.load(std::memory_order_acquire) > 0; ++i) {
      if (i < kPatience) {
        Pause();
      } else {
        std::this_thread::yield();
      }
    }
    const int failed = failed_.load(std::memory_order_relaxed);
    if (failed < 0) return 0;
    if (const int again = Call(failed)) return again;  // its message is that of this thread now
    return Fail("a piece of a parallel loop failed");
  }

 private:
  // Kernels are C, but what they call may throw: TVM's runtime where memory is short.
  int Call(int piece) {
    try {
      return body_(piece, &env_, data_);
    } catch (const std::exception& error) {
      return Fail(error.what());
    }
  }

  // Only who has taken a piece may look at the loop: it is not replaced before all are done.
  void RunPieces(int me, uint32_t loop) {
    for (int turn = 0; turn < threads_; ++turn) {
      Share& share = shares_[(me + turn) % threads_];
      int done = 0;
      for (int piece; (piece = share.Take(loop, turn == 0)) >= 0; ++done) {
        if (Call(piece) != 0) failed_.store(piece, std::memory_order_relaxed);
      }
      if (done > 0) left_.fetch_sub(done, std::memory_order_acq_rel);
    }
  }

  void Help(int me) {
    inside = true;
    for (uint32_t loop = 0; !ending_; RunPieces(me, loop)) loop = NextLoop(loop);
  }

  uint32_t NextLoop(uint32_t last) {
    const auto until = std::chrono::steady_clock::now() + kAwake;
    do {
      for (int i = 0; i < kPauses; ++i) {
        const uint32_t loop = loop_.load(std::memory_order_acquire);
        if (loop != last) return loop;
        Pause();
      }
    } while (std::chrono::steady_clock::now() < until);
    std::unique_lock<std::mutex> lock(mutex_);
    asleep_.fetch_add(1);
    awake_.wait(lock, [&] { return loop_.load() != last; });
    asleep_.fetch_sub(1);
    return loop_.load();
  }

  const int threads_, forks_;
  std::unique_ptr<Share[]> shares_;
  std::vector<std::thread> helpers_;
  Body body_ = nullptr;
  void* data_ = nullptr;
  Env env_{nullptr, 0};
  alignas(128) std::atomic<uint32_t> loop_{0};
  alignas(128) std::atomic<int> left_{0};
  std::atomic<int> failed_{-1}, asleep_{0};
  std::atomic<bool> ending_{false};
  std::mutex mutex_;
  std::condition_variable awake_;
};

struct Leave {
  void operator()(Pool* pool) const {
    if (!pool->Lost()) delete pool;  // what waits for threads that a fork left behind never ends
  }
};

}  // namespace

// Runs a loop in as many pieces as there should be, or as are asked for.
extern "C" int chameleon_parallel_launch(Body body, void* data, int asked) {
  static const int usual = Threads();
  const int threads = std::min(wanted > 0 ? wanted : usual, kMostPieces / kPiecesPerThread);
  static const int watched = pthread_atfork(nullptr, nullptr, [] { ++forks; });
  static_cast<void>(watched);
  thread_local std::unique_ptr<Pool, Leave> pool;
  const int pieces = asked > 0 ? asked : threads > 1 ? threads * kPiecesPerThread : 1;
  if (inside || pieces == 1 || pieces > kMostPieces) {
    Env env{nullptr, pieces};
    for (int piece = 0; piece < pieces; ++piece) {
      if (const int failed = body(piece, &env, data)) return failed;
    }
    return 0;
  }
  if (!pool || pool->Lost() || pool->Threads() != threads) pool.reset(new Pool(threads));
  inside = true;
  const int failed = pool->Run(body, data, pieces);
  inside = false;
  return failed;
}

// Sets the number of threads for the loops that the calling thread runs next; 0 is the usual.
extern "C" void chameleon_use_threads(int threads) { wanted = threads; }

extern "C" {
extern __attribute__((visibility("hidden"))) void* __ChameleonParallelLaunch;
void* __ChameleonParallelLaunch = reinterpret_cast<void*>(&chameleon_parallel_launch);
}
