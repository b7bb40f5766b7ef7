/* SPDX-License-Identifier: MIT */
/* Each line is a --set, one after the other, on configs/quick.json. */
#include "test/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

enum { SETS = 16 };

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    fuzz_start();
    fuzz_copy("test/config/named/formats.json", "formats.json");
    fuzz_copy("configs/quick.json", "quick.json");
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const char *sets[SETS];
    size_t n_sets = 0;
    char *text = malloc(n + 1), *rest = text;
    if (!text)
        return 0;
    memcpy(text, data, n);
    text[n] = 0; /* an argument ends at a NUL */
    while (rest && n_sets < SETS)
        sets[n_sets++] = strsep(&rest, "\n");
    fuzz_experiment(fuzz_path("quick.json"), sets, n_sets);
    free(text);
    return 0;
}
