// Inspection of tensors, and their data in and out.
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "marshal.h"
#include "register.h"

namespace mezzo {
namespace {

const at::Tensor& tensor(const Call& call, size_t i = 0) { return call.environment.tensors.get(call.number(i)); }

napi_value dtype(const Call& call) { return toJs(call.env, dtypeName(tensor(call).scalar_type())); }
napi_value shape(const Call& call) {
  const auto sizes = tensor(call).sizes();
  return toJs(call.env, std::span<const int64_t>(sizes.data(), sizes.size()));
}
napi_value strides(const Call& call) {
  const auto values = tensor(call).strides();
  return toJs(call.env, std::span<const int64_t>(values.data(), values.size()));
}
napi_value numel(const Call& call) { return toJs(call.env, static_cast<double>(tensor(call).numel())); }
napi_value itemsize(const Call& call) { return toJs(call.env, static_cast<double>(tensor(call).itemsize())); }
napi_value device(const Call& call) { return toJs(call.env, tensor(call).device().str()); }
napi_value requiresGrad(const Call& call) { return toJs(call.env, tensor(call).requires_grad()); }
napi_value isLeaf(const Call& call) { return toJs(call.env, tensor(call).is_leaf()); }
napi_value version(const Call& call) { return toJs(call.env, static_cast<double>(tensor(call)._version())); }
napi_value layout(const Call& call) {
  std::ostringstream text;
  text << tensor(call).layout();
  return toJs(call.env, text.str());
}
napi_value storageOffset(const Call& call) {
  return toJs(call.env, static_cast<double>(tensor(call).storage_offset()));
}
napi_value storageKey(const Call& call) {
  return toJs(call.env, std::to_string(reinterpret_cast<uintptr_t>(tensor(call).storage().unsafeGetStorageImpl())));
}
napi_value isLive(const Call& call) { return toJs(call.env, call.environment.tensors.isLive(call.number(0))); }
napi_value sameTensor(const Call& call) { return toJs(call.env, tensor(call, 0).is_same(tensor(call, 1))); }
napi_value isPinned(const Call& call) { return toJs(call.env, tensor(call).is_pinned()); }

napi_value isContiguous(const Call& call) {
  const auto format = memoryFormatByName(call.string(1));
  if (!format) throw BridgeError("BAD_ARGUMENT", "unknown memory format '" + call.string(1) + "'");
  return toJs(call.env, tensor(call).is_contiguous(*format));
}

// The stride of a dimension of size 1 is never used, and kernels differ in what they write there.
bool sameLayout(const at::Tensor& a, const at::Tensor& b) {
  if (!a.defined() || !b.defined() || a.sizes() != b.sizes()) return false;
  for (int64_t d = 0; d < a.dim(); d++) {
    if (a.size(d) != 1 && a.stride(d) != b.stride(d)) return false;
  }
  return true;
}

// Whether each pair of tensors lies alike in memory: what LibTorch's fused CPU optimizers assume and do not check.
napi_value sameStrides(const Call& call) {
  const auto left = tensorsOf(call, 0), right = tensorsOf(call, 1);
  const bool same = left.size() == right.size() &&
                    std::equal(left.begin(), left.end(), right.begin(), sameLayout);
  return toJs(call.env, same);
}

napi_value item(const Call& call) {
  const at::Scalar scalar = tensor(call).item();
  if (scalar.isBoolean()) return toJs(call.env, scalar.toBool());
  if (scalar.isIntegral(false)) return toJsInteger(call.env, scalar.toLong());
  if (scalar.isComplex()) throw BridgeError("NOT_IMPLEMENTED", "item(): complex tensors have no JavaScript number");
  return toJs(call.env, scalar.toDouble());
}

at::ScalarType typeOfArray(napi_typedarray_type type, at::ScalarType wanted) {
  switch (type) {
    case napi_int8_array: return at::kChar;
    case napi_uint8_array:
    case napi_uint8_clamped_array: return wanted == at::kBool ? at::kBool : at::kByte;
    case napi_int16_array: return at::kShort;
    // 16-bit floats have no array type on Node 20: their bits travel as Uint16Array.
    case napi_uint16_array: return wanted == at::kHalf || wanted == at::kBFloat16 ? wanted : at::kUInt16;
    case napi_int32_array: return at::kInt;
    case napi_uint32_array: return at::kUInt32;
    case napi_float32_array: return at::kFloat;
    case napi_float64_array: return at::kDouble;
    case napi_bigint64_array: return at::kLong;
    case napi_biguint64_array: return at::kUInt64;
    default: break;
  }
  throw BridgeError("BAD_ARGUMENT", "this kind of typed array is not supported");
}

std::vector<int64_t> sizesOf(const Call& call, size_t argument) {
  uint32_t length = 0;
  check(call.env, napi_get_array_length(call.env, call[argument], &length));
  std::vector<int64_t> sizes(length);
  for (uint32_t i = 0; i < length; i++) {
    napi_value element = nullptr;
    check(call.env, napi_get_element(call.env, call[argument], i, &element));
    sizes[i] = integerOf(call.env, element);
  }
  return sizes;
}

napi_value fromTyped(const Call& call) {
  const ArrayView view = typedArray(call.env, call[0]);
  const std::vector<int64_t> sizes = sizesOf(call, 1);
  const at::ScalarType wanted = dtypeOf(call.env, call[2]);
  int64_t count = 1;
  for (const int64_t size : sizes) {
    if (size < 0) throw BridgeError("BAD_ARGUMENT", "shape: sizes must not be negative");
    count *= size;
  }
  if (static_cast<size_t>(count) != view.length) {
    throw BridgeError("BAD_ARGUMENT", "the shape holds " + std::to_string(count) + " elements, the data has " +
                                          std::to_string(view.length));
  }
  const at::ScalarType source = typeOfArray(view.type, wanted);
  at::Tensor result = at::empty(sizes, at::TensorOptions().dtype(wanted));
  if (count > 0) {
    if (source == wanted) {
      std::memcpy(result.data_ptr(), view.data, view.bytes);
    } else {
      result.copy_(at::from_blob(view.data, sizes, at::TensorOptions().dtype(source)));
    }
  }
  return toJs(call.env, call.environment.tensors.add(std::move(result)));
}

napi_typedarray_type arrayTypeOf(at::ScalarType type) {
  switch (type) {
    case at::kFloat: return napi_float32_array;
    case at::kDouble: return napi_float64_array;
    case at::kLong: return napi_bigint64_array;
    case at::kUInt64: return napi_biguint64_array;
    case at::kInt: return napi_int32_array;
    case at::kUInt32: return napi_uint32_array;
    case at::kShort: return napi_int16_array;
    case at::kUInt16: return napi_uint16_array;
    case at::kChar: return napi_int8_array;
    case at::kByte:
    case at::kBool: return napi_uint8_array;
    default: break;
  }
  throw BridgeError("NOT_IMPLEMENTED", std::string("tensors of type ") + dtypeName(type) +
                                           " cannot be read into a typed array; convert them first");
}

napi_value toTyped(const Call& call) {
  at::Tensor source = tensor(call).detach();
  if (source.scalar_type() == at::kHalf || source.scalar_type() == at::kBFloat16) source = source.to(at::kFloat);
  source = source.cpu().contiguous();
  void* data = nullptr;
  napi_value array =
      newTypedArray(call.env, arrayTypeOf(source.scalar_type()), static_cast<size_t>(source.numel()), &data);
  if (source.numel() > 0) std::memcpy(data, source.const_data_ptr(), source.nbytes());
  return array;
}

napi_value readBytes(const Call& call) {
  const at::Tensor source = tensor(call).detach().cpu().contiguous();
  void* data = nullptr;
  napi_value array = newTypedArray(call.env, napi_uint8_array, source.nbytes(), &data);
  if (source.nbytes() > 0) std::memcpy(data, source.const_data_ptr(), source.nbytes());
  return array;
}

void requireHostMemory(const at::Tensor& target, const char* what) {
  if (!target.device().is_cpu() || !target.is_non_overlapping_and_dense()) {
    throw BridgeError("BAD_ARGUMENT", std::string(what) + ": needs a dense tensor on the CPU");
  }
}

napi_value writeBytes(const Call& call) {
  const at::Tensor& target = tensor(call);
  requireHostMemory(target, "writeBytes");
  const ArrayView bytes = typedArray(call.env, call[1]);
  const int64_t offset = call.isNullish(2) ? 0 : call.integer(2);
  if (offset < 0 || static_cast<size_t>(offset) + bytes.bytes > target.nbytes()) {
    throw BridgeError("INDEX", "writeBytes: " + std::to_string(bytes.bytes) + " bytes at " + std::to_string(offset) +
                                   " do not fit into " + std::to_string(target.nbytes()));
  }
  if (bytes.bytes > 0) std::memcpy(static_cast<char*>(target.data_ptr()) + offset, bytes.data, bytes.bytes);
  if (!target.is_inference()) target.unsafeGetTensorImpl()->bump_version();
  return nullptr;
}

// The tensor's own memory as an ArrayBuffer: writes go straight into it. The buffer keeps the memory alive.
napi_value bytesView(const Call& call) {
  const at::Tensor& target = tensor(call);
  requireHostMemory(target, "bytesView");
  auto held = std::make_unique<at::Tensor>(target);
  napi_value buffer = nullptr;
  check(call.env, napi_create_external_arraybuffer(
                      call.env, target.data_ptr(), target.nbytes(),
                      [](node_api_basic_env, void*, void* hint) {
                        const std::unique_ptr<at::Tensor> owner(static_cast<at::Tensor*>(hint));
                      },
                      held.get(), &buffer));
  held.release();
  return buffer;
}

napi_value hostBuffer(const Call& call) {
  const auto options = at::TensorOptions().dtype(at::kByte).pinned_memory(call.boolean(1));
  return toJs(call.env, call.environment.tensors.add(at::empty({call.integer(0)}, options)));
}

}  // namespace

void registerTensors(napi_env env, napi_value exports) {
  define<dtype>(env, exports, "dtype");
  define<shape>(env, exports, "shape");
  define<strides>(env, exports, "strides");
  define<numel>(env, exports, "numel");
  define<itemsize>(env, exports, "itemsize");
  define<device>(env, exports, "device");
  define<layout>(env, exports, "layout");
  define<requiresGrad>(env, exports, "requiresGrad");
  define<isLeaf>(env, exports, "isLeaf");
  define<version>(env, exports, "version");
  define<storageOffset>(env, exports, "storageOffset");
  define<storageKey>(env, exports, "storageKey");
  define<isLive>(env, exports, "isLive");
  define<isPinned>(env, exports, "isPinned");
  define<sameTensor>(env, exports, "sameTensor");
  define<isContiguous>(env, exports, "isContiguous");
  define<sameStrides>(env, exports, "sameStrides");
  define<item>(env, exports, "item");
  define<fromTyped>(env, exports, "fromTyped");
  define<toTyped>(env, exports, "toTyped");
  define<readBytes>(env, exports, "readBytes");
  define<writeBytes>(env, exports, "writeBytes");
  define<bytesView>(env, exports, "bytesView");
  define<hostBuffer>(env, exports, "hostBuffer");
}

}  // namespace mezzo
