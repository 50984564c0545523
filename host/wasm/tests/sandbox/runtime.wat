;; Where things are: 1024 names and text, 2048 what calls return, 4096 facts, 6144 the hook decision, 8192 zeros, which
;; are every good answer without content, 65536 the heap.
(module
  (import "wasi:cli/environment@0.2.6" "get-environment" (func $environment (param i32)))
  (import "wasi:cli/environment@0.2.6" "get-arguments" (func $arguments (param i32)))
  (import "wasi:filesystem/preopens@0.2.6" "get-directories" (func $directories (param i32)))
  (import "wasi:clocks/wall-clock@0.2.6" "now" (func $now (param i32)))
  (import "wasi:random/random@0.2.6" "get-random-u64" (func $random (result i64)))
  (import "wasi:sockets/tcp-create-socket@0.2.6" "create-tcp-socket" (func $socket (param i32 i32)))
  (import "wasi:cli/stdout@0.2.6" "get-stdout" (func $stdout (result i32)))
  (import "wasi:io/streams@0.2.6" "[method]output-stream.blocking-write-and-flush"
    (func $print (param i32 i32 i32 i32)))
  (import "wasmilter:policy/parts@1.0.0" "size" (func $size (param i32) (result i32)))

  (memory (export "memory") 4)
  (global $heap (mut i32) (i32.const 65536))
  (data (i32.const 1024) "env args dirs time rand deny hello from a runtime\0a")

  (func (export "cabi_realloc") (param $old i32) (param $size i32) (param $align i32) (param $new i32) (result i32)
    (global.set $heap (i32.and (i32.add (global.get $heap) (i32.const 15)) (i32.const -16)))
    (global.get $heap)
    (global.set $heap (i32.add (global.get $heap) (local.get $new))))

  ;; Language runtimes look at their environment before anything else.
  (func (export "wasmilter:policy/lifecycle@1.0.0#describe") (result i32)
    (call $environment (i32.const 2048))
    (i32.const 8192))
  (func (export "wasmilter:policy/lifecycle@1.0.0#configure") (param i32 i32) (result i32) (i32.const 8192))

  (func (export "wasmilter:policy/message-policy@1.0.0#decide") (result i32)
    (drop (call $size (i32.const 1)))
    (i32.const 8192))

  (func $fact (param $number i32) (param $name i32) (param $length i32) (param $value f64)
    (local $at i32)
    (local.set $at (i32.add (i32.const 4096) (i32.mul (local.get $number) (i32.const 24))))
    (i32.store (local.get $at) (local.get $name))
    (i32.store offset=4 (local.get $at) (local.get $length))
    (i32.store8 offset=8 (local.get $at) (i32.const 1))
    (f64.store offset=16 (local.get $at) (local.get $value)))

  (func $length (result f64) (f64.convert_i32_u (i32.load (i32.const 2052))))

  (func (export "wasmilter:policy/on-connect@1.0.0#connect") (result i32)
    (call $environment (i32.const 2048))
    (call $fact (i32.const 0) (i32.const 1024) (i32.const 3) (call $length))
    (call $arguments (i32.const 2048))
    (call $fact (i32.const 1) (i32.const 1028) (i32.const 4) (call $length))
    (call $directories (i32.const 2048))
    (call $fact (i32.const 2) (i32.const 1033) (i32.const 4) (call $length))
    (call $now (i32.const 2048))
    (call $fact (i32.const 3) (i32.const 1038) (i32.const 4) (f64.convert_i64_u (i64.load (i32.const 2048))))
    (call $fact (i32.const 4) (i32.const 1043) (i32.const 4) (f64.convert_i64_u (call $random)))
    (call $socket (i32.const 0) (i32.const 2048))
    (call $fact (i32.const 5) (i32.const 1048) (i32.const 4) (f64.convert_i32_u (i32.load8_u (i32.const 2048))))
    (call $print (call $stdout) (i32.const 1053) (i32.const 21) (i32.const 2048))
    (i32.store (i32.const 6172) (i32.const 4096))
    (i32.store (i32.const 6176) (i32.const 6))
    (i32.const 6144))

  (func (export "wasmilter:policy/on-helo@1.0.0#helo") (result i32)
    (loop $again (drop (call $random)) (br $again))
    (i32.const 8192))

  (func (export "wasmilter:policy/on-mail@1.0.0#mail") (result i32)
    (loop $again (drop (call $stdout)) (br $again))
    (i32.const 8192)))
