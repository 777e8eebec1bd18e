// What a module in C needs of the proxy-wasm ABI 0.2.1: github.com/proxy-wasm/spec, abi-versions/v0.2.1.

#ifndef PROXY_WASM_H
#define PROXY_WASM_H

#include <stddef.h>
#include <stdint.h>

#define IMPORT(name) __attribute__((import_module("env"), import_name(#name)))
#define EXPORT(name) __attribute__((export_name(#name), used))

enum status { STATUS_OK, STATUS_NOT_FOUND, STATUS_BAD_ARGUMENT };
enum action { ACTION_CONTINUE, ACTION_PAUSE };
enum log_level { LOG_TRACE, LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_CRITICAL };
enum map_type { REQUEST_HEADERS, REQUEST_TRAILERS, RESPONSE_HEADERS, RESPONSE_TRAILERS };

IMPORT(proxy_log)
uint32_t proxy_log(uint32_t level, const char *text, size_t size);

// The value belongs to the caller, who asked for it with its own malloc.
IMPORT(proxy_get_header_map_value)
uint32_t proxy_get_header_map_value(uint32_t map, const char *name, size_t name_size, char **value, size_t *value_size);

IMPORT(proxy_add_header_map_value)
uint32_t proxy_add_header_map_value(uint32_t map, const char *name, size_t name_size, const char *value, size_t value_size);

IMPORT(proxy_replace_header_map_value)
uint32_t proxy_replace_header_map_value(uint32_t map, const char *name, size_t name_size, const char *value, size_t value_size);

IMPORT(proxy_remove_header_map_value)
uint32_t proxy_remove_header_map_value(uint32_t map, const char *name, size_t name_size);

#endif
