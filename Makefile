# SPDX-License-Identifier: MIT
# make          the binary build/lowbit and the plugins build/plugins/*.so
# make check    the tests that take under a minute together;  make test: all of them
# make bench    the benchmarks;  make list: what is built;  make format: clang-format
# make asan, make ubsan, make sanitize: `make check` under the one, the other, or both at once, in a build folder of its own, without what no sanitizer can see
# make fuzz     hostile files: each target of test/fuzz for FUZZ_SECONDS (600), built with clang in a folder of its own; what they tried and found
# make cluster  scripts/slurm.sbatch on a real Slurm, which the test starts on this machine (scripts/setup.sh --cluster)
# make bundle   a folder and a .tar.gz that run wherever they are copied to; BLAS=1 puts OpenBLAS in
# Variables: CC, BUILD (build), PREFIX (/usr/local), DESTDIR, WERROR=-Werror, CHECK (what test/run.sh runs: quick), CFLAGS (-g: variables for a debugger)

ifeq ($(origin CC),default)
CC      := gcc
endif
BUILD   ?= build
PREFIX  ?= /usr/local
WERROR  ?=
CHECK   ?= quick
SANITIZE ?=
OPT     ?= -O3

# The arithmetic: no contraction, no fast-math, on every file (docs/arithmetic.md).
EXACT   := -ffp-contract=off -fno-fast-math
WARN    := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wundef $(WERROR)
DEFINES := $(if $(SANITIZE),-DSANITIZED) -D_GNU_SOURCE -DLB_PREFIX='"$(PREFIX)"'
# Functions and lines are enough for reports; variables double the compiler's time, and the plugins' size, which is hashed at every start.
CFLAGS_ALL := -std=c11 -g1 $(OPT) $(EXACT) $(WARN) $(SANITIZE) -fvisibility=hidden -fPIC -I. -Icore $(DEFINES) -MMD -MP $(CFLAGS)
LDFLAGS_ALL := $(SANITIZE) $(LDFLAGS)
# protobuf-c is small and goes into the program where its archive is there.
PROTOBUF := $(if $(wildcard $(shell $(CC) -print-file-name=libprotobuf-c.a)),-l:libprotobuf-c.a,-lprotobuf-c)
LIBS    := -ljansson -lcrypto -lz $(PROTOBUF) -lm -ldl -lpthread

# One file of kernels/cpu is one instruction set: its name's ending says which flags it is built with.
ISA_avx2   := -mavx2 -mfma -mf16c
ISA_avx512 := $(ISA_avx2) -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512cd
# gcc 12 gives 64-byte vectors places in ASan's fake stack that are not aligned so (GCC bug 110027).
ISA_avx512 += $(if $(and $(findstring address,$(SANITIZE)),$(findstring gcc,$(CC))),--param=asan-use-after-return=0)
ISA_vnni   := $(ISA_avx512) -mavx512vnni -mavx512vbmi
ISA_vbmi   := $(ISA_avx512) -mavx512vbmi
isa = $(if $(filter x86_64,$(shell uname -m)),$(ISA_$(lastword $(subst _, ,$(basename $(notdir $1))))))

CORE    := $(wildcard core/*.c core/*/*.c)
KERNELS := $(wildcard kernels/cpu/*.c)
PLUGINS := $(patsubst plugins/%.c,%,$(wildcard plugins/*.c)) $(patsubst plugins/%/,%,$(wildcard plugins/*/))
UNITS   := $(patsubst test/unit/%.c,$(BUILD)/test/%,$(wildcard test/unit/test_*.c))
TOOLS   := $(patsubst test/tools/%.c,$(BUILD)/test/%,$(wildcard test/tools/*.c))
BAD     := $(patsubst test/bad/%.c,$(BUILD)/bad/%.so,$(wildcard test/bad/*.c))
FAULTS  := $(if $(filter x86_64,$(shell uname -m)),$(patsubst test/faults/%.c,$(BUILD)/faults/%.so,$(wildcard test/faults/*.c)))

obj = $(patsubst %.c,$(BUILD)/obj/%.o,$1)

.PHONY: all check test bench asan ubsan sanitize fuzz fuzzers format install bundle cluster list clean tests
all: $(BUILD)/lowbit $(PLUGINS:%=$(BUILD)/plugins/%.so)

$(BUILD)/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $(if $(filter kernels/%,$<),$(call isa,$<)) -c $< -o $@

# The reader of ONNX files is generated from the numbers of their fields.
GEN := $(BUILD)/gen
$(GEN)/onnx.pb-c.c $(GEN)/onnx.pb-c.h &: core/onnx/onnx.proto
	@mkdir -p $(GEN)
	protoc-c --proto_path=core/onnx --c_out=$(GEN) $<
$(BUILD)/obj/gen/onnx.pb-c.o: $(GEN)/onnx.pb-c.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -w -c $< -o $@
ONNX := $(call obj,$(wildcard core/onnx/*.c))
$(ONNX): $(GEN)/onnx.pb-c.h
$(ONNX): CFLAGS_ALL += -isystem $(GEN)

$(BUILD)/libcore.a: $(call obj,$(CORE)) $(BUILD)/obj/gen/onnx.pb-c.o
	@rm -f $@
	ar rcs $@ $^
$(BUILD)/libkernels.a: $(call obj,$(KERNELS))
	@rm -f $@
	ar rcs $@ $^

# Where scripts/bundle.sh puts libraries. RPATH, not RUNPATH: it holds for what plugins load and for what that needs, too.
BUNDLED := -Wl,--disable-new-dtags,-rpath,'$$ORIGIN/../lib/bundled'
$(BUILD)/lowbit: $(call obj,main.c) $(BUILD)/libcore.a
	$(CC) $(LDFLAGS_ALL) $(BUNDLED) $^ $(LIBS) -o $@

# A plugin is plugins/NAME.c, or plugins/NAME/*.c; it takes from the kernels what it calls. Build ids make equal sources equal files.
.SECONDARY:
.SECONDEXPANSION:
$(BUILD)/plugins/%.so: $$(call obj,$$(wildcard plugins/$$*.c plugins/$$*/*.c)) $(BUILD)/libkernels.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_ALL) -shared $^ $(LIBS_$*) -lm -ldl -o $@
# The shaders and their compiler are part of the plugin (plugins/vulkan/vulkan_api.h says why).
SHADERC := $(addprefix -l,shaderc_combined SPIRV glslang MachineIndependent OSDependent OGLCompiler GenericCodeGen SPIRV-Tools-opt SPIRV-Tools)
LIBS_vulkan := $(SHADERC) -l:libstdc++.a -lcrypto -Wl,--exclude-libs,ALL -Wl,--gc-sections
$(BUILD)/obj/plugins/vulkan/vulkan_table.o: kernels/canon.h $(wildcard kernels/vulkan/*)
$(BUILD)/obj/plugins/vulkan/vulkan_compile.o: DEFINES += -DSHADERC_VERSION='"$(shell pkg-config --modversion shaderc glslang SPIRV-Tools 2>&1)"'

# What is tested lies in the archives: a program of tests is compiled fast, but for the one whose subject is a header.
TEST_OPT = $(if $(filter %/test_canon,$@),$(OPT),-O1)
$(BUILD)/test/%: test/unit/%.c $(wildcard test/unit/*.h) $(BUILD)/libcore.a $(BUILD)/libkernels.a
	@mkdir -p $(@D)
	$(CC) $(filter-out -Wmissing-prototypes,$(CFLAGS_ALL)) $(TEST_OPT) $(LDFLAGS_ALL) $< $(BUILD)/libcore.a $(BUILD)/libkernels.a $(LIBS) -lcriterion -o $@
$(BUILD)/test/canon_ulp: LIBS += -lmpfr
$(BUILD)/test/%: test/tools/%.c $(wildcard test/tools/*.h) $(BUILD)/libcore.a $(BUILD)/libkernels.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) $< $(BUILD)/libcore.a $(BUILD)/libkernels.a $(LIBS) -o $@
$(BUILD)/bad/%.so: test/bad/%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -shared $< -o $@
$(BUILD)/faults/%.so: test/faults/%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -shared $< -o $@

tests: all $(UNITS) $(TOOLS) $(BAD) $(FAULTS)
check: tests
	BUILD=$(BUILD) test/run.sh $(CHECK)
test: tests
	BUILD=$(BUILD) test/run.sh all
bench: all
	$(BUILD)/lowbit bench
ADDRESS   := -fsanitize=address -fno-omit-frame-pointer
UNDEFINED := -fsanitize=undefined -fno-sanitize-recover=all
asan:
	$(MAKE) BUILD=build-asan SANITIZE="$(ADDRESS)" OPT=-O1 CHECK=again check
ubsan:
	$(MAKE) BUILD=build-ubsan SANITIZE="$(UNDEFINED)" OPT=-O1 CHECK=again check
sanitize:
	$(MAKE) BUILD=build-sanitize SANITIZE="$(ADDRESS) $(UNDEFINED)" OPT=-O1 CHECK=again check

# Of plugins only those are built that the targets call. clang's option puts libFuzzer's main in; the code under test is instrumented for it everywhere.
FUZZERS := $(patsubst test/fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard test/fuzz/fuzz_*.c))
$(BUILD)/fuzz/%: $(BUILD)/obj/test/fuzz/%.o $(BUILD)/obj/test/fuzz/fuzz.o $(BUILD)/libcore.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_ALL) -fsanitize=fuzzer $^ $(LIBS) -o $@
$(call obj,test/fuzz/fuzz_onnx.c): $(GEN)/onnx.pb-c.h
$(call obj,test/fuzz/fuzz_onnx.c): CFLAGS_ALL += -isystem $(GEN)
fuzzers: $(FUZZERS) $(BUILD)/lowbit $(patsubst %,$(BUILD)/plugins/%.so,cpu_ref $(filter codec_%,$(PLUGINS)))
fuzz:
	$(MAKE) CC=clang BUILD=build-fuzz SANITIZE="$(ADDRESS) $(UNDEFINED) -fsanitize=fuzzer-no-link" OPT=-O1 fuzzers
	BUILD=build-fuzz test/fuzz/fuzz.sh

format:
	clang-format -i main.c $(wildcard core/*.[ch] core/*/*.[ch] plugins/*.[ch] plugins/*/*.[ch] kernels/*.h kernels/cpu/*.[ch] test/*/*.[ch])

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/lowbit $(DESTDIR)$(PREFIX)/include/lowbit $(DESTDIR)$(PREFIX)/share/lowbit
	install $(BUILD)/lowbit $(DESTDIR)$(PREFIX)/bin/
	install -m 644 $(filter-out %/skeleton_codec.so %/skeleton_backend.so,$(PLUGINS:%=$(BUILD)/plugins/%.so)) $(DESTDIR)$(PREFIX)/lib/lowbit/
	install -m 644 core/plugin.h $(DESTDIR)$(PREFIX)/include/lowbit/
	cp -r configs/. $(DESTDIR)$(PREFIX)/share/lowbit/

cluster: all
	BUILD=$(BUILD) test/cluster/cluster.sh

bundle: all
	BUILD=$(BUILD) scripts/bundle.sh $(if $(BLAS),--blas)

list: all
	$(BUILD)/lowbit list

clean:
	rm -rf $(BUILD) build-asan build-ubsan build-sanitize build-fuzz

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
