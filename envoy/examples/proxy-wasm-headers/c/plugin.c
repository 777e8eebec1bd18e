// Sets, adds and removes headers in both directions. It has no body callbacks, so no body comes near it.

#include "proxy_wasm.h"

#include <stdlib.h>
#include <string.h>

#define TEXT(literal) literal, sizeof literal - 1

EXPORT(proxy_abi_version_0_2_1)
void proxy_abi_version_0_2_1(void) {}

// The host asks for memory to put values into.
EXPORT(proxy_on_memory_allocate)
void *proxy_on_memory_allocate(size_t size) { return malloc(size); }

EXPORT(proxy_on_context_create)
void proxy_on_context_create(uint32_t context, uint32_t parent) {
  (void)context;
  (void)parent;
}

EXPORT(proxy_on_vm_start)
uint32_t proxy_on_vm_start(uint32_t context, uint32_t configuration_size) {
  (void)context;
  (void)configuration_size;
  return 1;
}

EXPORT(proxy_on_configure)
uint32_t proxy_on_configure(uint32_t context, uint32_t configuration_size) {
  (void)context;
  (void)configuration_size;
  return 1;
}

// Logs "headers: " and the value of a header.
static void log_value(enum map_type map, const char *name, size_t name_size) {
  static const char prefix[] = "headers: ";
  char *value, line[512];
  size_t size;
  if (proxy_get_header_map_value(map, name, name_size, &value, &size) != STATUS_OK) return;
  size_t shown = size < sizeof line - sizeof prefix ? size : sizeof line - sizeof prefix;
  memcpy(line, prefix, sizeof prefix - 1);
  if (shown) memcpy(line + sizeof prefix - 1, value, shown);
  proxy_log(LOG_INFO, line, sizeof prefix - 1 + shown);
  if (size) free(value);
}

static void rules(enum map_type map, const char *secret, size_t secret_size) {
  proxy_remove_header_map_value(map, secret, secret_size);
  proxy_replace_header_map_value(map, TEXT("x-plugin"), TEXT("headers"));
  proxy_add_header_map_value(map, TEXT("x-multi"), TEXT("plugin"));
}

EXPORT(proxy_on_request_headers)
uint32_t proxy_on_request_headers(uint32_t context, uint32_t count, uint32_t end_of_stream) {
  (void)context;
  (void)count;
  (void)end_of_stream;
  log_value(REQUEST_HEADERS, TEXT(":path"));
  rules(REQUEST_HEADERS, TEXT("x-secret"));
  return ACTION_CONTINUE;
}

EXPORT(proxy_on_response_headers)
uint32_t proxy_on_response_headers(uint32_t context, uint32_t count, uint32_t end_of_stream) {
  (void)context;
  (void)count;
  (void)end_of_stream;
  log_value(RESPONSE_HEADERS, TEXT(":status"));
  rules(RESPONSE_HEADERS, TEXT("server-secret"));
  return ACTION_CONTINUE;
}

EXPORT(proxy_on_done)
uint32_t proxy_on_done(uint32_t context) {
  (void)context;
  return 1;
}

EXPORT(proxy_on_log)
void proxy_on_log(uint32_t context) { (void)context; }

EXPORT(proxy_on_delete)
void proxy_on_delete(uint32_t context) { (void)context; }
