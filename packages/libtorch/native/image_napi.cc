// JavaScript's side of the pixel work: arguments are checked here, the pixels are touched on a libuv thread.
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <variant>

#include "image.h"
#include "register.h"

namespace mezzo::image {

namespace {

struct BadArgument : std::runtime_error {
  using std::runtime_error::runtime_error;
};

void require(bool condition, const std::string& message) {
  if (!condition) throw BadArgument(message);
}

struct Bytes {
  uint8_t* data;
  size_t size;
};

Bytes bytes(napi_env env, napi_value value, const std::string& name) {
  napi_typedarray_type type;
  size_t length = 0;
  void* data = nullptr;
  const bool ok =
      napi_get_typedarray_info(env, value, &type, &length, &data, nullptr, nullptr) == napi_ok && type == napi_uint8_array;
  require(ok, name + " must be a Uint8Array");
  return {static_cast<uint8_t*>(data), length};
}

/// The numbers that describe a job, read in order.
class Numbers {
 public:
  Numbers(napi_env env, napi_value value) {
    napi_typedarray_type type;
    void* data = nullptr;
    const bool ok = napi_get_typedarray_info(env, value, &type, &size_, &data, nullptr, nullptr) == napi_ok &&
                    type == napi_float64_array;
    require(ok, "the job must be a Float64Array");
    data_ = static_cast<const double*>(data);
  }
  bool done() const { return at_ == size_; }
  double real(const char* name) {
    require(at_ < size_, std::string("the job ends before '") + name + "'");
    const double value = data_[at_++];
    require(std::isfinite(value), std::string("'") + name + "' is not a finite number");
    return value;
  }
  int32_t integer(const char* name, int32_t low, int32_t high) {
    const double value = real(name);
    require(value == std::floor(value) && value >= low && value <= high,
            std::string("'") + name + "' must be an integer from " + std::to_string(low) + " to " + std::to_string(high));
    return static_cast<int32_t>(value);
  }

 private:
  const double* data_ = nullptr;
  size_t size_ = 0, at_ = 0;
};

// Coordinates must fit the 32.32 fixed point, with room for a map that zooms out far.
constexpr int32_t kMaxSide = 65500;
constexpr double kMaxCoordinate = 4e8;

size_t area(int32_t width, int32_t height, int32_t channels) {
  return static_cast<size_t>(width) * height * channels;
}

constexpr int32_t kMaxChannels = 1024;

/// Bytes of a source picture for an output of so many channels: as many pictures of three as hold them.
size_t sourceArea(int32_t width, int32_t height, int32_t channels) {
  return area(width, height, (channels + kGroup - 1) / kGroup * kGroup);
}

void fillLevels(double gain, int32_t* levels) {
  require(gain >= 0, "colour gains must not be negative");
  for (int32_t level = 0; level < 256; ++level) levels[level] = static_cast<int32_t>(std::min(level * gain, 255.0));
}

WarpJob readWarp(napi_env env, napi_value* args) {
  WarpJob job{};
  const Bytes out = bytes(env, args[0], "out");
  Numbers numbers(env, args[1]);
  job.out = out.data;
  job.width = numbers.integer("width", 1, kMaxSide);
  job.height = numbers.integer("height", 1, kMaxSide);
  job.channels = numbers.integer("channels", 1, kMaxChannels);
  job.border = static_cast<uint8_t>(numbers.integer("border", 0, 255));
  job.bgr = numbers.integer("bgr", 0, 1) == 1;
  job.colour.enabled = numbers.integer("colour", 0, 1) == 1;
  job.colour.hue = numbers.integer("hue", 0, 179);
  fillLevels(numbers.real("saturation"), job.colour.saturation);
  fillLevels(numbers.real("value"), job.colour.value);
  job.blend = static_cast<float>(numbers.real("blend"));
  require(job.blend >= 0 && job.blend <= 1, "'blend' must be from 0 to 1");
  job.cut.left = numbers.integer("cut left", 0, job.width);
  job.cut.top = numbers.integer("cut top", 0, job.height);
  job.cut.right = numbers.integer("cut right", 0, job.width);
  job.cut.bottom = numbers.integer("cut bottom", 0, job.height);
  job.thermal.enabled = numbers.integer("thermal", 0, 1) == 1;
  const double gain = numbers.real("gain"), offset = numbers.real("offset");
  for (int32_t level = 0; level < 256; ++level) {
    job.thermal.levels[level] = static_cast<int32_t>(std::clamp((level - 128) * gain + 128 + offset, 0.0, 255.0));
  }
  job.thermal.noise = numbers.integer("noise", 0, 256 * 255);
  job.thermal.seed = static_cast<uint32_t>(numbers.integer("noise seed", 0, std::numeric_limits<int32_t>::max()));
  job.dropped = numbers.integer("dropped", 0, 2);
  require(out.size == area(job.width, job.height, job.channels), "out must hold width x height x channels bytes");

  uint32_t sources = 0;
  require(napi_get_array_length(env, args[2], &sources) == napi_ok, "sources must be an array");
  while (!numbers.done()) {
    const int32_t layer = numbers.integer("layer", 0, 2);
    const auto source = static_cast<uint32_t>(numbers.integer("source", 0, static_cast<int32_t>(sources) - 1));
    Tile tile{};
    tile.width = numbers.integer("source width", 1, kMaxSide);
    tile.height = numbers.integer("source height", 1, kMaxSide);
    for (double& m : tile.matrix) {
      m = numbers.real("matrix");
      require(std::abs(m) <= kMaxCoordinate / kMaxSide, "a matrix entry is too large");
    }
    for (double* side : {&tile.left, &tile.top, &tile.right, &tile.bottom}) {
      *side = numbers.real("bounds");
      require(std::abs(*side) <= kMaxCoordinate, "a tile bound is too large");
    }
    napi_value pixels = nullptr;
    require(napi_get_element(env, args[2], source, &pixels) == napi_ok, "a source is missing");
    const Bytes image = bytes(env, pixels, "a source");
    require(image.size == sourceArea(tile.width, tile.height, job.channels),
            "a source must hold width x height x 3 bytes for every three channels");
    tile.pixels = image.data;
    job.layers[layer].push_back(tile);
  }
  return job;
}

LetterboxJob readLetterbox(napi_env env, napi_value* args) {
  LetterboxJob job{};
  const Bytes out = bytes(env, args[0], "out");
  Numbers numbers(env, args[1]);
  job.out = out.data;
  job.width = numbers.integer("width", 1, kMaxSide);
  job.height = numbers.integer("height", 1, kMaxSide);
  job.channels = numbers.integer("channels", 1, kMaxChannels);
  job.border = static_cast<uint8_t>(numbers.integer("border", 0, 255));
  job.sourceWidth = numbers.integer("source width", 1, kMaxSide);
  job.sourceHeight = numbers.integer("source height", 1, kMaxSide);
  job.newWidth = numbers.integer("new width", 1, job.width);
  job.newHeight = numbers.integer("new height", 1, job.height);
  job.left = numbers.integer("left", 0, job.width - job.newWidth);
  job.top = numbers.integer("top", 0, job.height - job.newHeight);
  require(numbers.done(), "the job is longer than a letterbox");
  require(out.size == area(job.width, job.height, job.channels), "out must hold width x height x channels bytes");
  const Bytes image = bytes(env, args[2], "the source");
  require(image.size == sourceArea(job.sourceWidth, job.sourceHeight, job.channels),
          "the source must hold width x height x 3 bytes for every three channels");
  job.pixels = image.data;
  return job;
}

napi_value errorWithCode(napi_env env, const char* code, const std::string& message) {
  napi_value codeValue = nullptr, text = nullptr, error = nullptr;
  napi_create_string_utf8(env, code, NAPI_AUTO_LENGTH, &codeValue);
  napi_create_string_utf8(env, message.data(), message.size(), &text);
  napi_create_error(env, codeValue, text, &error);
  return error;
}

/// A job on its way through a libuv thread. The reference keeps every buffer it points into alive.
struct Running {
  std::variant<WarpJob, LetterboxJob> job;
  napi_deferred deferred = nullptr;
  napi_ref buffers = nullptr;
  napi_async_work work = nullptr;
  bool outOfMemory = false;
};

void execute(napi_env, void* data) {
  auto* running = static_cast<Running*>(data);
  try {
    if (const auto* job = std::get_if<WarpJob>(&running->job)) warp(*job);
    else letterbox(std::get<LetterboxJob>(running->job));
  } catch (const std::bad_alloc&) {
    running->outOfMemory = true;
  }
}

void complete(napi_env env, napi_status, void* data) {
  const std::unique_ptr<Running> running(static_cast<Running*>(data));
  napi_delete_reference(env, running->buffers);
  napi_delete_async_work(env, running->work);
  if (running->outOfMemory) {
    napi_reject_deferred(env, running->deferred,
                         errorWithCode(env, "OUT_OF_MEMORY", "out of memory while warping an image"));
    return;
  }
  napi_value nothing = nullptr;
  napi_get_undefined(env, &nothing);
  napi_resolve_deferred(env, running->deferred, nothing);
}

template <auto kRead>
napi_value start(napi_env env, napi_callback_info info) {
  napi_value args[3];
  size_t count = 3;
  napi_get_cb_info(env, info, &count, args, nullptr, nullptr);
  auto running = std::make_unique<Running>();
  try {
    require(count == 3, "expected out, job and sources");
    running->job = kRead(env, args);
  } catch (const BadArgument& error) {
    napi_throw(env, errorWithCode(env, "BAD_ARGUMENT", error.what()));
    return nullptr;
  }
  napi_value buffers = nullptr, name = nullptr, promise = nullptr;
  napi_create_array_with_length(env, 2, &buffers);
  napi_set_element(env, buffers, 0, args[0]);
  napi_set_element(env, buffers, 1, args[2]);
  napi_create_reference(env, buffers, 1, &running->buffers);
  napi_create_string_utf8(env, "mezzo:image", NAPI_AUTO_LENGTH, &name);
  napi_create_promise(env, &running->deferred, &promise);
  napi_create_async_work(env, nullptr, name, execute, complete, running.get(), &running->work);
  napi_queue_async_work(env, running.release()->work);
  return promise;
}

}  // namespace

}  // namespace mezzo::image

void mezzo::registerImage(napi_env env, napi_value exports) {
  using namespace mezzo::image;
  const auto define = [&](const char* name, napi_callback callback) {
    napi_value function = nullptr;
    napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, nullptr, &function);
    napi_set_named_property(env, exports, name, function);
  };
  define("imageWarp", start<readWarp>);
  define("imageLetterbox", start<readLetterbox>);
}
