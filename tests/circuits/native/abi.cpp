// Compares this project's declarations of XLA's foreign function interface with the headers of the installed jaxlib.

#include "xla/ffi/api/c_api.h"

#include "xla_ffi.h"

namespace mine = qgen::xla;

#define SAME(own, field, theirs, other)                                                      \
  static_assert(offsetof(own, field) == offsetof(theirs, other), #theirs " has moved " #other)

SAME(mine::CallFrame, api, XLA_FFI_CallFrame, api);
SAME(mine::CallFrame, context, XLA_FFI_CallFrame, ctx);
SAME(mine::CallFrame, stage, XLA_FFI_CallFrame, stage);
SAME(mine::CallFrame, args, XLA_FFI_CallFrame, args);
SAME(mine::CallFrame, rets, XLA_FFI_CallFrame, rets);
SAME(mine::CallFrame, attrs, XLA_FFI_CallFrame, attrs);
SAME(mine::Buffers, size, XLA_FFI_Args, size);
SAME(mine::Buffers, types, XLA_FFI_Args, types);
SAME(mine::Buffers, items, XLA_FFI_Args, args);
SAME(mine::Buffers, items, XLA_FFI_Rets, rets);
SAME(mine::Attrs, types, XLA_FFI_Attrs, types);
SAME(mine::Attrs, names, XLA_FFI_Attrs, names);
SAME(mine::Attrs, items, XLA_FFI_Attrs, attrs);
SAME(mine::Buffer, dtype, XLA_FFI_Buffer, dtype);
SAME(mine::Buffer, data, XLA_FFI_Buffer, data);
SAME(mine::Buffer, rank, XLA_FFI_Buffer, rank);
SAME(mine::Buffer, dims, XLA_FFI_Buffer, dims);
SAME(mine::Span, len, XLA_FFI_ByteSpan, len);
SAME(mine::Scalar, value, XLA_FFI_Scalar, value);
SAME(mine::Array, size, XLA_FFI_Array, size);
SAME(mine::Array, data, XLA_FFI_Array, data);
SAME(mine::ErrorCreate, message, XLA_FFI_Error_Create_Args, message);
SAME(mine::ErrorCreate, code, XLA_FFI_Error_Create_Args, errc);
SAME(mine::Schedule, context, XLA_FFI_ThreadPool_Schedule_Args, ctx);
SAME(mine::Schedule, task, XLA_FFI_ThreadPool_Schedule_Args, task);
SAME(mine::Schedule, data, XLA_FFI_ThreadPool_Schedule_Args, data);
SAME(mine::NumThreads, num_threads, XLA_FFI_ThreadPool_NumThreads_Args, num_threads);
SAME(mine::Api, version, XLA_FFI_Api, api_version);
SAME(mine::Version, major_version, XLA_FFI_Api_Version, major_version);
SAME(mine::Version, minor_version, XLA_FFI_Api_Version, minor_version);
SAME(mine::Api, error_create, XLA_FFI_Api, XLA_FFI_Error_Create);
SAME(mine::Api, error_destroy, XLA_FFI_Api, XLA_FFI_Error_Destroy);
SAME(mine::Api, schedule, XLA_FFI_Api, XLA_FFI_ThreadPool_Schedule);
SAME(mine::Api, num_threads, XLA_FFI_Api, XLA_FFI_ThreadPool_NumThreads);
SAME(mine::Metadata, version, XLA_FFI_Metadata, api_version);
SAME(mine::Metadata, traits, XLA_FFI_Metadata, traits);
SAME(mine::MetadataExtension, metadata, XLA_FFI_Metadata_Extension, metadata);

static_assert(int(mine::kMetadata) == int(XLA_FFI_Extension_Metadata));
static_assert(int(mine::kExecute) == int(XLA_FFI_ExecutionStage_EXECUTE));
static_assert(int(mine::kS64) == int(XLA_FFI_DataType_S64) && int(mine::kF32) == int(XLA_FFI_DataType_F32));
static_assert(int(mine::kF64) == int(XLA_FFI_DataType_F64));
static_assert(int(mine::kArray) == int(XLA_FFI_AttrType_ARRAY) && int(mine::kScalar) == int(XLA_FFI_AttrType_SCALAR));
static_assert(int(mine::kBuffer) == int(XLA_FFI_ArgType_BUFFER));
static_assert(int(mine::kInvalidArgument) == int(XLA_FFI_Error_Code_INVALID_ARGUMENT));
static_assert(int(mine::kResourceExhausted) == int(XLA_FFI_Error_Code_RESOURCE_EXHAUSTED));
static_assert(int(mine::kInternal) == int(XLA_FFI_Error_Code_INTERNAL));
