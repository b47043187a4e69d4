// The part of XLA's foreign function interface that this library uses, as plain C structures.
//
// The interface is versioned by the size of every structure, and new fields are only ever appended, so these
// declarations fit every jax from 0.10 on. A test compares them with the headers of the installed jaxlib. Declaring
// them here means that building the library needs a compiler and nothing else.
#pragma once

#include <cstddef>
#include <cstdint>

namespace qgen {
namespace xla {

enum Code : int { kInvalidArgument = 3, kResourceExhausted = 8, kInternal = 13 };
enum DataType : int { kS64 = 5, kF32 = 11, kF64 = 12 };
enum ArgType : int { kBuffer = 1 };
enum AttrType : int { kArray = 1, kScalar = 3 };
enum Stage : int { kExecute = 3 };
enum ExtensionType : int { kMetadata = 1 };

struct Error;
struct Context;

struct Extension {
  size_t struct_size;
  ExtensionType type;
  Extension* next;
};

struct Version {
  size_t struct_size;
  Extension* extension_start;
  int major_version;
  int minor_version;
};

struct Buffer {
  size_t struct_size;
  Extension* extension_start;
  DataType dtype;
  void* data;
  int64_t rank;
  int64_t* dims;
};

struct Span {
  const char* ptr;
  size_t len;
};

struct Scalar {
  DataType dtype;
  void* value;
};

struct Array {
  DataType dtype;
  size_t size;
  void* data;
};

struct Buffers {  // arguments or results
  size_t struct_size;
  Extension* extension_start;
  int64_t size;
  ArgType* types;
  void** items;
};

struct Attrs {
  size_t struct_size;
  Extension* extension_start;
  int64_t size;
  AttrType* types;
  Span** names;
  void** items;
};

struct ErrorCreate {
  size_t struct_size;
  Extension* extension_start;
  const char* message;
  Code code;
};

struct Schedule {
  size_t struct_size;
  Extension* extension_start;
  Context* context;
  void (*task)(void*);
  void* data;
};

struct NumThreads {
  size_t struct_size;
  Extension* extension_start;
  Context* context;
  int64_t* num_threads;
};

struct Api {
  size_t struct_size;
  Extension* extension_start;
  Version version;
  const void* internal;
  Error* (*error_create)(ErrorCreate*);
  void* error_message;
  void (*error_destroy)(void*);
  void* between[8];  // registration, streams, types, contexts, state and device memory
  Error* (*schedule)(Schedule*);
  Error* (*num_threads)(NumThreads*);
};

struct CallFrame {
  size_t struct_size;
  Extension* extension_start;
  const Api* api;
  Context* context;
  Stage stage;
  Buffers args;
  Buffers rets;
  Attrs attrs;
};

struct Metadata {
  size_t struct_size;
  Version version;
  uint32_t traits;
};

struct MetadataExtension {
  Extension base;
  Metadata* metadata;
};

}  // namespace xla
}  // namespace qgen
