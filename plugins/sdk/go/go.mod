module github.com/wasmilter/wasmilter/plugins/sdk/go

go 1.24
