#!/bin/sh
# How llama.cpp is built here: for the machine at hand, but without the AMX tile kernels of x86,
# which crash on passes of two and more tokens with quantised weights.
printf '%s' '-DGGML_NATIVE=ON'
flags='-mno-amx-tile -mno-amx-int8 -mno-amx-bf16'
# Other processors, and compilers that have never heard of AMX, refuse the flags.
if echo 'int main(void) { return 0; }' | ${CC:-cc} $flags -x c -c -o /dev/null - 2>/dev/null; then
	printf ' %s' "-DCMAKE_C_FLAGS='$flags'" "-DCMAKE_CXX_FLAGS='$flags'"
fi
