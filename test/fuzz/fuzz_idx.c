/* SPDX-License-Identifier: MIT */
/* IDX files. The first byte says how the rest becomes one: as it is, which may be a .gz already, or packed first, so that what is inside is reached. */
#include "test/fuzz/fuzz.h"
#include "core/base/mem.h"
#include "core/nn/dataset.h"

#include <stdlib.h>
#include <zlib.h>

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    fuzz_start();
    return 0;
}

static const char *packed(const uint8_t *data, size_t n)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)data, .avail_in = (uInt)n};
    const size_t room = 2 * n + 256;
    unsigned char *out = malloc(room);
    if (!out || deflateInit2(&z, 1, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        abort();
    z.next_out = out;
    z.avail_out = (uInt)room;
    if (deflate(&z, Z_FINISH) != Z_STREAM_END)
        abort();
    const char *path = fuzz_file("train-images-idx3-ubyte", out, room - z.avail_out);
    deflateEnd(&z);
    free(out);
    return path;
}

static void read_both(const char *path)
{
    struct lb_err err = {0};
    size_t size[3];
    unsigned char *bytes = NULL;
    fuzz_result(lb_idx_images(path, &size[0], &size[1], &size[2], &bytes, &err), &err);
    lb_free(bytes);
    bytes = NULL;
    fuzz_result(lb_idx_labels(path, &size[0], &bytes, &err), &err);
    lb_free(bytes);
}

/* As a run does: it refuses what is not the published file, after reading it. */
static void load(void)
{
    char source[] = "mnist";
    struct lb_err err = {0};
    struct lb_dataset d;
    const struct lb_data_config config = {.source = source, .path = (char *)(uintptr_t)fuzz_path("")};
    fuzz_result(lb_dataset_load(&config, &d, NULL, &err), &err);
    lb_dataset_finish(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (!n)
        return 0;
    const size_t before = lb_mem_now();
    const char *path = *data & 1 ? packed(data + 1, n - 1) : fuzz_file("train-images-idx3-ubyte", data + 1, n - 1);
    read_both(path);
    load();
    fuzz_command(&lb_cmd_inspect, path, NULL);
    fuzz_balance(before);
    return 0;
}
