module look-alike

go 1.24

require github.com/wasmilter/wasmilter/plugins/sdk/go v0.0.0

// Written by `wasmilter plugin build`.
replace github.com/wasmilter/wasmilter/plugins/sdk/go => ./sdk/go
