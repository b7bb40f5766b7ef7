/* SPDX-License-Identifier: MIT */
/* Any bytes as a config, beside a formats.json. */
#include "test/fuzz/fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    fuzz_start();
    fuzz_copy("test/config/named/formats.json", "formats.json");
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    fuzz_experiment(fuzz_file("config.json", data, n), NULL, 0);
    return 0;
}
