package hostile

import (
	"fmt"
	"regexp"
	"strings"
)

// component is a component of wasi:http/proxy: code that does harm in its handler
// when the request is a POST.
type component struct {
	code     string
	encoding string // of strings; "" is utf8
	realloc  string // its allocator's code, if it isn't well-behaved
	// reallocImports are functions that the allocator calls.
	reallocImports []string
	post           string // the code of a post-return function
	more           string // further fields of the core module
	memory         string // its limits in pages
}

// hostFunction is a function of the host that components here call.
type hostFunction struct {
	instance, name, typ string
	params, result      string // core types
}

// hostFunctions by the names that code calls them by.
var hostFunctions = map[string]hostFunction{
	"fields":         {"types", "[constructor]fields", `(func (result (own $fields)))`, "", "i32"},
	"append":         {"types", "[method]fields.append", `(func (param "self" (borrow $fields)) (param "name" $field-key) (param "value" $field-value) (result (result (error $header-error))))`, "i32 i32 i32 i32 i32 i32", ""},
	"entries":        {"types", "[method]fields.entries", `(func (param "self" (borrow $fields)) (result (list (tuple $field-key $field-value))))`, "i32 i32", ""},
	"from-list":      {"types", "[static]fields.from-list", `(func (param "entries" (list (tuple $field-key $field-value))) (result (result (own $fields) (error $header-error))))`, "i32 i32 i32", ""},
	"method":         {"types", "[method]incoming-request.method", `(func (param "self" (borrow $incoming-request)) (result $method))`, "i32 i32", ""},
	"path":           {"types", "[method]incoming-request.path-with-query", `(func (param "self" (borrow $incoming-request)) (result (option string)))`, "i32 i32", ""},
	"headers":        {"types", "[method]incoming-request.headers", `(func (param "self" (borrow $incoming-request)) (result (own $headers)))`, "i32", "i32"},
	"consume":        {"types", "[method]incoming-request.consume", `(func (param "self" (borrow $incoming-request)) (result (result (own $incoming-body))))`, "i32 i32", ""},
	"finish":         {"types", "[static]incoming-body.finish", `(func (param "this" (own $incoming-body)) (result (own $future-trailers)))`, "i32", "i32"},
	"request":        {"types", "[constructor]outgoing-request", `(func (param "headers" (own $headers)) (result (own $outgoing-request)))`, "i32", "i32"},
	"set-method":     {"types", "[method]outgoing-request.set-method", `(func (param "self" (borrow $outgoing-request)) (param "method" $method) (result (result)))`, "i32 i32 i32 i32", "i32"},
	"set-scheme":     {"types", "[method]outgoing-request.set-scheme", `(func (param "self" (borrow $outgoing-request)) (param "scheme" (option $scheme)) (result (result)))`, "i32 i32 i32 i32 i32", "i32"},
	"set-path":       {"types", "[method]outgoing-request.set-path-with-query", `(func (param "self" (borrow $outgoing-request)) (param "path-with-query" (option string)) (result (result)))`, "i32 i32 i32 i32", "i32"},
	"response":       {"types", "[constructor]outgoing-response", `(func (param "headers" (own $headers)) (result (own $outgoing-response)))`, "i32", "i32"},
	"set-status":     {"types", "[method]outgoing-response.set-status-code", `(func (param "self" (borrow $outgoing-response)) (param "status-code" $status-code) (result (result)))`, "i32 i32", "i32"},
	"body":           {"types", "[method]outgoing-response.body", `(func (param "self" (borrow $outgoing-response)) (result (result (own $outgoing-body))))`, "i32 i32", ""},
	"set":            {"types", "[static]response-outparam.set", `(func (param "param" (own $response-outparam)) (param "response" (result (own $outgoing-response) (error $error-code))))`, "i32 i32 i32 i32 i64 i32 i32 i32 i32", ""},
	"now":            {"clock", "now", `(func (result $instant))`, "", "i64"},
	"subscribe":      {"clock", "subscribe-duration", `(func (param "when" $duration) (result (own $pollable)))`, "i64", "i32"},
	"block":          {"poll", "[method]pollable.block", `(func (param "self" (borrow $pollable)))`, "i32", ""},
	"poll":           {"poll", "poll", `(func (param "in" (list (borrow $pollable))) (result (list u32)))`, "i32 i32 i32", ""},
	"random":         {"random", "get-random-bytes", `(func (param "len" u64) (result (list u8)))`, "i64 i32", ""},
	"drop-fields":    {"types", "fields", "", "i32", ""},
	"drop-request":   {"types", "incoming-request", "", "i32", ""},
	"drop-outparam":  {"types", "response-outparam", "", "i32", ""},
	"drop-outgoing":  {"types", "outgoing-request", "", "i32", ""},
	"drop-response":  {"types", "outgoing-response", "", "i32", ""},
	"drop-body":      {"types", "incoming-body", "", "i32", ""},
	"drop-pollable":  {"poll", "pollable", "", "i32", ""},
	"drop-trailers":  {"types", "future-trailers", "", "i32", ""},
	"drop-out-body":  {"types", "outgoing-body", "", "i32", ""},
	"own-new":        {"", "resource.new", "", "i32", "i32"},
	"own-rep":        {"", "resource.rep", "", "i32", "i32"},
	"drop-own":       {"", "resource.drop", "", "i32", ""},
	"write":          {"types", "[method]outgoing-body.write", `(func (param "self" (borrow $outgoing-body)) (result (result (own $output-stream))))`, "i32 i32", ""},
	"write-stream":   {"streams", "[method]output-stream.write", `(func (param "self" (borrow $output-stream)) (param "contents" (list u8)) (result (result (error $stream-error))))`, "i32 i32 i32 i32", ""},
	"write-zeroes":   {"streams", "[method]output-stream.write-zeroes", `(func (param "self" (borrow $output-stream)) (param "len" u64) (result (result (error $stream-error))))`, "i32 i64 i32", ""},
	"finish-out":     {"types", "[static]outgoing-body.finish", `(func (param "this" (own $outgoing-body)) (param "trailers" (option (own $trailers))) (result (result (error $error-code))))`, "i32 i32 i32 i32", ""},
	"stream-of-body": {"types", "[method]incoming-body.stream", `(func (param "self" (borrow $incoming-body)) (result (result (own $input-stream))))`, "i32 i32", ""},
	"read-stream":    {"streams", "[method]input-stream.read", `(func (param "self" (borrow $input-stream)) (param "len" u64) (result (result (list u8) (error $stream-error))))`, "i32 i64 i32", ""},
}

// The types of the interfaces, as far as the functions above need them.
const errorCodeType = `
	(type $dns (record (field "rcode" (option string)) (field "info-code" (option u16))))
	(export "DNS-error-payload" (type $dns-error-payload (eq $dns)))
	(type $tls (record (field "alert-id" (option u8)) (field "alert-message" (option string))))
	(export "TLS-alert-received-payload" (type $tls-alert-received-payload (eq $tls)))
	(type $size (record (field "field-name" (option string)) (field "field-size" (option u32))))
	(export "field-size-payload" (type $field-size-payload (eq $size)))
	(type $code (variant (case "DNS-timeout") (case "DNS-error" $dns-error-payload) (case "destination-not-found")
		(case "destination-unavailable") (case "destination-IP-prohibited") (case "destination-IP-unroutable")
		(case "connection-refused") (case "connection-terminated") (case "connection-timeout")
		(case "connection-read-timeout") (case "connection-write-timeout") (case "connection-limit-reached")
		(case "TLS-protocol-error") (case "TLS-certificate-error") (case "TLS-alert-received" $tls-alert-received-payload)
		(case "HTTP-request-denied") (case "HTTP-request-length-required") (case "HTTP-request-body-size" (option u64))
		(case "HTTP-request-method-invalid") (case "HTTP-request-URI-invalid") (case "HTTP-request-URI-too-long")
		(case "HTTP-request-header-section-size" (option u32)) (case "HTTP-request-header-size" (option $field-size-payload))
		(case "HTTP-request-trailer-section-size" (option u32)) (case "HTTP-request-trailer-size" $field-size-payload)
		(case "HTTP-response-incomplete") (case "HTTP-response-header-section-size" (option u32))
		(case "HTTP-response-header-size" $field-size-payload) (case "HTTP-response-body-size" (option u64))
		(case "HTTP-response-trailer-section-size" (option u32)) (case "HTTP-response-trailer-size" $field-size-payload)
		(case "HTTP-response-transfer-coding" (option string)) (case "HTTP-response-content-coding" (option string))
		(case "HTTP-response-timeout") (case "HTTP-upgrade-failed") (case "HTTP-protocol-error") (case "loop-detected")
		(case "configuration-error") (case "internal-error" (option string))))
	(export "error-code" (type $error-code (eq $code)))`

const interfaceTypes = `
	(import "wasi:io/error@0.2.0" (instance $errors (export "error" (type (sub resource)))))
	(alias export $errors "error" (type $error'))
	(import "wasi:io/poll@0.2.0" (instance $poll (export "pollable" (type $pollable (sub resource))) POLL))
	(alias export $poll "pollable" (type $pollable'))
	(import "wasi:io/streams@0.2.0" (instance $streams
		(alias outer 1 $error' (type $e)) (export "error" (type $error (eq $e)))
		(type $se (variant (case "last-operation-failed" (own $error)) (case "closed")))
		(export "stream-error" (type $stream-error (eq $se)))
		(export "input-stream" (type $input-stream (sub resource)))
		(export "output-stream" (type $output-stream (sub resource))) STREAMS))
	(alias export $streams "input-stream" (type $input-stream'))
	(alias export $streams "output-stream" (type $output-stream'))
	(import "wasi:random/random@0.2.0" (instance $random RANDOM))
	(import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
		(type $i u64) (export "instant" (type $instant (eq $i)))
		(type $d u64) (export "duration" (type $duration (eq $d)))
		(alias outer 1 $pollable' (type $p)) (export "pollable" (type $pollable (eq $p))) CLOCK))
	(import "wasi:http/types@0.2.0" (instance $types
		(alias outer 1 $input-stream' (type $is)) (export "input-stream" (type $input-stream (eq $is)))
		(alias outer 1 $output-stream' (type $os)) (export "output-stream" (type $output-stream (eq $os)))
		(type $k string) (export "field-key" (type $field-key (eq $k)))
		(type $v (list u8)) (export "field-value" (type $field-value (eq $v)))
		(type $s u16) (export "status-code" (type $status-code (eq $s)))
		(type $he (variant (case "invalid-syntax") (case "forbidden") (case "immutable")))
		(export "header-error" (type $header-error (eq $he)))
		(type $m (variant (case "get") (case "head") (case "post") (case "put") (case "delete") (case "connect")
			(case "options") (case "trace") (case "patch") (case "other" string)))
		(export "method" (type $method (eq $m)))
		(type $sc (variant (case "HTTP") (case "HTTPS") (case "other" string)))
		(export "scheme" (type $scheme (eq $sc)))
		` + errorCodeType + `
		(export "fields" (type $fields (sub resource)))
		(export "headers" (type $headers (eq $fields)))
		(export "trailers" (type $trailers (eq $fields)))
		(export "incoming-request" (type $incoming-request (sub resource)))
		(export "incoming-body" (type $incoming-body (sub resource)))
		(export "future-trailers" (type $future-trailers (sub resource)))
		(export "outgoing-request" (type $outgoing-request (sub resource)))
		(export "outgoing-response" (type $outgoing-response (sub resource)))
		(export "outgoing-body" (type $outgoing-body (sub resource)))
		(export "response-outparam" (type $response-outparam (sub resource))) TYPES))
	(alias export $types "incoming-request" (type $incoming-request'))
	(alias export $types "response-outparam" (type $response-outparam'))
	(type $own (resource (rep i32)))`

var calledHost = regexp.MustCompile(`\$h\.([a-z-]+)`)

// componentText is a component as text. In its memory, "text" is at 1024 and "x" at
// 1032; its allocator hands out the second page and on.
func componentText(c component) string {
	code := c.code + c.more + c.post + "$h.method $h.fields $h.response $h.set"
	realloc := c.realloc
	if realloc == "" {
		realloc = "(global.get $at) (global.set $at (i32.add (global.get $at) (i32.and (i32.add (local.get 3) (i32.const 15)) (i32.const -16))))"
	}
	memory := c.memory
	if memory == "" {
		memory = "20"
	}
	types := interfaceTypes
	var lowers, coreImports, with string
	early := map[string]bool{}
	var earlyLowers, earlyImports, earlyWith string
	for _, name := range c.reallocImports {
		early[name] = true
		f := hostFunctions[name]
		earlyLowers += fmt.Sprintf("(core func $f.%s (canon lower (func $%s %q)))\n", name, f.instance, f.name)
		earlyImports += fmt.Sprintf("(import \"h\" %q (func $h.%s %s))\n", name, name, f.core())
		earlyWith += fmt.Sprintf("(export %q (func $f.%s))", name, name)
	}
	exports := map[string]string{}
	seen := map[string]bool{}
	encoding := c.encoding
	if encoding == "" {
		encoding = "utf8"
	}
	options := fmt.Sprintf(`(memory (core memory $libc "memory")) (realloc (core func $libc "realloc")) string-encoding=%s`, encoding)
	for _, match := range append(calledHost.FindAllStringSubmatch(code, -1), wrap(c.reallocImports)...) {
		name := match[1]
		if seen[name] {
			continue
		}
		seen[name] = true
		f, ok := hostFunctions[name]
		if !ok {
			panic("no host function " + name)
		}
		if f.typ != "" {
			exports[f.instance] += fmt.Sprintf("(export %q %s)\n", f.name, f.typ)
		}
		if !early[name] {
			lowers += f.lower(name, options)
		}
		coreImports += fmt.Sprintf("(import \"h\" %q (func $h.%s %s))\n", name, name, f.core())
		with += fmt.Sprintf("(export %q (func $f.%s))", name, name)
	}
	for _, instance := range []string{"poll", "streams", "random", "clock", "types"} {
		types = strings.Replace(types, " "+strings.ToUpper(instance)+")", "\n"+exports[instance]+")", 1)
	}
	post, postOption := "", ""
	if c.post != "" {
		post = `(func (export "post") (if (global.get $harm) (then ` + c.post + ")))"
		postOption = ` (post-return (core func $main "post"))`
	}
	return fmt.Sprintf(`(component %s
	%s
	(core module $Libc %s
		(memory (export "memory") %s)
		(data (i32.const 1024) "text\00\00\00\00x")
		(global $at (mut i32) (i32.const 65536))
		(func $realloc (export "realloc") (param i32 i32 i32 i32) (result i32) %s))
	(core instance $libc (instantiate $Libc (with "h" (instance %s))))
	%s
	(core module $Main %s
		(import "libc" "memory" (memory 0))
		(global $harm (mut i32) (i32.const 0))
		(global $n (mut i32) (i32.const 0))
		(func $expect (param i32 i32) (if (i32.ne (local.get 0) (local.get 1)) (then (unreachable))))
		(func $answer (param i32)
			(call $h.set (local.get 0) (i32.const 0) (call $h.response (call $h.fields)) (i32.const 0) (i64.const 0)
				(i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
		%s %s
		(func (export "handle") (param $request i32) (param $out i32)
			(call $h.method (local.get $request) (i32.const 8))
			(if (i32.eq (i32.load8_u (i32.const 8)) (i32.const 2)) (then (global.set $harm (i32.const 1)) %s))
			(call $answer (local.get $out))))
	(core instance $main (instantiate $Main (with "libc" (instance $libc)) (with "h" (instance %s))))
	(func $handle (param "request" (own $incoming-request')) (param "response-out" (own $response-outparam'))
		(canon lift (core func $main "handle") (memory (core memory $libc "memory"))%s))
	(instance $handler (export "handle" (func $handle)))
	(export "wasi:http/incoming-handler@0.2.0" (instance $handler)))`,
		types, earlyLowers, earlyImports, memory, realloc, earlyWith, lowers, coreImports, c.more, post, c.code, with, postOption)
}

func wrap(names []string) [][]string {
	var list [][]string
	for _, n := range names {
		list = append(list, []string{"", n})
	}
	return list
}

// core is the core type of a function.
func (f hostFunction) core() string {
	t := ""
	if f.params != "" {
		t += "(param " + f.params + ")"
	}
	if f.result != "" {
		t += " (result " + f.result + ")"
	}
	return t
}

// lower makes a core function of one of the host's, or of a built-in.
func (f hostFunction) lower(name, options string) string {
	switch {
	case f.instance == "":
		return fmt.Sprintf("(core func $f.%s (canon %s $own))\n", name, f.name)
	case f.typ == "":
		return fmt.Sprintf("(alias export $%s %q (type $t.%s)) (core func $f.%s (canon resource.drop $t.%s))\n", f.instance, f.name, name, name, name)
	}
	return fmt.Sprintf("(core func $f.%s (canon lower (func $%s %q) %s))\n", name, f.instance, f.name, options)
}

// do is a call of a host function with constants.
func do(name string, args ...any) string {
	return fmt.Sprintf("(call $h.%s %s)", name, constants(args))
}

// forget is do for one with a result.
func forget(name string, args ...any) string { return "(drop " + do(name, args...) + ")" }
