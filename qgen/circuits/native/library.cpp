// The functions that XLA calls. See engine/native.py for the other side.

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "batch.h"
#include "xla_ffi.h"

namespace qgen {
namespace {

// XLA's own threads help; the calling thread works too, so that no task waits for a thread that never comes.
class XlaTeam final : public Team {
 public:
  explicit XlaTeam(const xla::CallFrame& frame) : api_(frame.api), context_(frame.context) {
    int64_t count = 1;
    xla::NumThreads args{sizeof(xla::NumThreads), nullptr, context_, &count};
    if (xla::Error* error = api_->num_threads(&args)) {
      discard(error);
      count = 1;
    }
    size_ = static_cast<size_t>(std::max<int64_t>(count, 1));
  }

  size_t size() const override { return size_; }

  void run(size_t count, void (*task)(void*, size_t), void* data) override {
    auto job = std::make_shared<Job>(count, task, data);
    for (size_t k = 1; k < std::min(size_, count); ++k) {
      auto* share = new std::shared_ptr<Job>(job);
      xla::Schedule args{sizeof(xla::Schedule), nullptr, context_, &help, share};
      if (xla::Error* error = api_->schedule(&args)) {
        discard(error);
        delete share;
        break;
      }
    }
    job->work();
    while (job->done.load(std::memory_order_acquire) < count) std::this_thread::yield();
    if (job->failure) std::rethrow_exception(job->failure);
  }

 private:
  struct Job {
    Job(size_t n, void (*f)(void*, size_t), void* d) : count(n), task(f), data(d) {}
    const size_t count;
    void (*const task)(void*, size_t);
    void* const data;
    std::atomic<size_t> next{0}, done{0};
    std::mutex mutex;
    std::exception_ptr failure;

    void work() {
      for (size_t k; (k = next.fetch_add(1)) < count;) {
        try {
          task(data, k);
        } catch (...) {
          std::lock_guard<std::mutex> lock(mutex);
          failure = std::current_exception();
        }
        done.fetch_add(1, std::memory_order_release);
      }
    }
  };

  static void help(void* share) {
    std::unique_ptr<std::shared_ptr<Job>> job(static_cast<std::shared_ptr<Job>*>(share));
    (*job)->work();
  }

  void discard(xla::Error* error) const {
    struct {
      size_t struct_size;
      xla::Extension* extension_start;
      xla::Error* error;
    } args{sizeof args, nullptr, error};
    api_->error_destroy(&args);
  }

  const xla::Api* api_;
  xla::Context* context_;
  size_t size_ = 1;
};

xla::Error* fail(const xla::Api* api, xla::Code code, const std::string& message) {
  const std::string text = "qgen: " + message;
  xla::ErrorCreate args{sizeof(xla::ErrorCreate), nullptr, text.c_str(), code};
  return api->error_create(&args);
}

template <class T>
struct Type;
template <>
struct Type<float> {
  static constexpr xla::DataType value = xla::kF32;
};
template <>
struct Type<double> {
  static constexpr xla::DataType value = xla::kF64;
};

const xla::Array& array(const xla::Attrs& attrs, const char* name, xla::DataType dtype) {
  for (int64_t k = 0; k < attrs.size; ++k) {
    if (std::string(attrs.names[k]->ptr, attrs.names[k]->len) != name) continue;
    if (attrs.types[k] != xla::kArray) break;
    const auto& found = *static_cast<const xla::Array*>(attrs.items[k]);
    if (found.dtype == dtype) return found;
  }
  throw Refused(std::string("the attribute ") + name + " is missing or of another type");
}

int64_t scalar(const xla::Attrs& attrs, const char* name) {
  for (int64_t k = 0; k < attrs.size; ++k) {
    if (std::string(attrs.names[k]->ptr, attrs.names[k]->len) != name) continue;
    if (attrs.types[k] != xla::kScalar) break;
    const auto& found = *static_cast<const xla::Scalar*>(attrs.items[k]);
    if (found.dtype == xla::kS64) return *static_cast<const int64_t*>(found.value);
  }
  throw Refused(std::string("the attribute ") + name + " is missing or of another type");
}

// Reads operands one after the other and checks their shapes against the batch.
template <class T>
class Shapes {
 public:
  Shapes(const xla::Buffers& buffers, std::vector<int64_t>& batch) : buffers_(buffers), batch_(batch) {}

  // An operand whose last axes must be `own`; an axis of -1 may have any length.
  template <class E>
  Operand<E> next(const std::vector<int64_t>& own, bool may_be_empty = false) {
    if (at_ >= buffers_.size) throw Refused("too few operands");
    const auto& buffer = *static_cast<const xla::Buffer*>(buffers_.items[at_++]);
    if (buffers_.types[at_ - 1] != xla::kBuffer || buffer.dtype != Type<T>::value) {
      throw Refused("an operand is of another type");
    }
    const int64_t lead = buffer.rank - static_cast<int64_t>(own.size());
    if (lead != static_cast<int64_t>(batch_.size())) throw Refused("an operand has another number of axes");
    Operand<E> found;
    found.data = static_cast<E*>(buffer.data);
    last_.assign(buffer.dims + lead, buffer.dims + buffer.rank);
    found.length = 1;
    for (size_t k = 0; k < own.size(); ++k) {
      const bool empty = may_be_empty && k + 1 == own.size() && last_[k] == 0;
      if (own[k] >= 0 && last_[k] != own[k] && !empty) {
        throw Refused("an operand's axis has length " + std::to_string(last_[k]) + ", not " + std::to_string(own[k]));
      }
      found.length *= static_cast<size_t>(last_[k]);
    }
    int64_t stride = static_cast<int64_t>(found.length);
    found.dims = batch_;
    found.strides.assign(batch_.size(), 0);
    for (size_t d = batch_.size(); d-- > 0;) {
      const int64_t size = buffer.dims[d];
      if (size != 1 && size != batch_[d]) throw Refused("operands have different batches");
      found.strides[d] = size == 1 ? 0 : stride;
      stride *= size;
    }
    if (found.length && !found.data && stride) throw Refused("an operand has no data");
    return found;
  }
  const std::vector<int64_t>& last() const { return last_; }
  void finish() const {
    if (at_ != buffers_.size) throw Refused("too many operands");
  }

 private:
  const xla::Buffers& buffers_;
  std::vector<int64_t>& batch_;
  std::vector<int64_t> last_;
  int64_t at_ = 0;
};

template <class T>
void execute(const xla::CallFrame& frame) {
  static Plans<T> plans;
  const xla::Array& code = array(frame.attrs, "code", xla::kS64);
  const xla::Array& reals = array(frame.attrs, "reals", xla::kF64);
  const int64_t mode = scalar(frame.attrs, "mode");
  if (mode < 0 || mode > static_cast<int64_t>(Mode::kValuesBack)) throw Refused("the mode is unknown");
  if (code.size < 4) throw Refused("the program ends too early");
  const auto* head = static_cast<const int64_t*>(code.data);
  const int64_t n = head[1], n_params = head[2], n_words = head[3];
  if (n < 1 || n > kMaxQubits || n_params < 0 || n_words < 0) throw Refused("the program's head is out of range");
  const std::vector<int64_t> state{2, int64_t(1) << n};

  Call<T> call;
  call.mode = static_cast<Mode>(mode);
  // The results have the whole batch; the first of them tells its axes.
  if (frame.rets.size < 1 || frame.args.size < 1) throw Refused("too few operands");
  const auto& result = *static_cast<const xla::Buffer*>(frame.rets.items[0]);
  const int own = call.mode == Mode::kState ? 2 : 1;
  if (result.rank < own) throw Refused("a result has too few axes");
  std::vector<int64_t> batch(result.dims, result.dims + result.rank - own);
  for (int64_t size : batch) call.batch *= static_cast<size_t>(size);

  Shapes<T> args(frame.args, batch), rets(frame.rets, batch);
  call.params = args.template next<const T>({n_params});
  const bool back = call.mode == Mode::kStateBack || call.mode == Mode::kValuesBack;
  if (back) {
    call.psi_in = args.template next<const T>(state);
  } else {
    call.start = args.template next<const T>(state, true);
  }
  if (call.mode == Mode::kStateBack) call.lam_in = args.template next<const T>(state);
  if (call.mode >= Mode::kValues) {
    call.coefficients = args.template next<const T>({-1, n_words});
    call.n_observables = static_cast<size_t>(args.last()[0]);
    if (call.n_observables < 1) throw Refused("there is no observable");
  }
  const auto k = static_cast<int64_t>(call.n_observables);
  if (call.mode == Mode::kValueAndGrad && k != 1) throw Refused("a gradient at once needs one observable");
  if (call.mode == Mode::kValuesBack) call.cotangents = args.template next<const T>({k});
  args.finish();
  if (call.mode >= Mode::kValues && !back) {
    call.values = rets.template next<T>({k});
    call.words = rets.template next<T>({n_words});
  }
  if (call.mode == Mode::kState || call.mode == Mode::kValuesState) call.psi_out = rets.template next<T>(state);
  if (back || call.mode == Mode::kValueAndGrad) {
    call.gradient = rets.template next<T>({n_params});
    call.start_out = rets.template next<T>(state, true);
  }
  rets.finish();
  for (int64_t r = 0; r < frame.rets.size; ++r) {  // results are written, so none may be shared
    const auto& buffer = *static_cast<const xla::Buffer*>(frame.rets.items[r]);
    for (size_t d = 0; d < batch.size(); ++d) {
      if (buffer.dims[d] != batch[d]) throw Refused("a result does not have the whole batch");
    }
  }
  if (call.batch == 0) return;
  XlaTeam team(frame);
  run<T>(plans, head, code.size, static_cast<const double*>(reals.data), reals.size, call, team);
}

template <class T>
xla::Error* handle(xla::CallFrame* frame) noexcept {
  if (auto* extension = frame->extension_start; extension && extension->type == xla::kMetadata) {
    // The structures used here only ever grow, so this library speaks whatever version asks.
    auto* metadata = reinterpret_cast<xla::MetadataExtension*>(extension)->metadata;
    metadata->version.major_version = frame->api->version.major_version;
    metadata->version.minor_version = frame->api->version.minor_version;
    metadata->traits = 0;
    return nullptr;
  }
  try {
    execute<T>(*frame);
    return nullptr;
  } catch (const Refused& refused) {
    return fail(frame->api, xla::kInvalidArgument, refused.what());
  } catch (const std::bad_alloc&) {
    return fail(frame->api, xla::kResourceExhausted, "there is not enough memory for the states of this circuit");
  } catch (const std::exception& error) {
    return fail(frame->api, xla::kInternal, error.what());
  }
}

}  // namespace
}  // namespace qgen

#define QGEN_EXPORT extern "C" __attribute__((visibility("default")))

QGEN_EXPORT qgen::xla::Error* qgen_run_float32(qgen::xla::CallFrame* frame) { return qgen::handle<float>(frame); }
QGEN_EXPORT qgen::xla::Error* qgen_run_float64(qgen::xla::CallFrame* frame) { return qgen::handle<double>(frame); }
