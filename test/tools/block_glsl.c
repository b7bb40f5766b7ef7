/* SPDX-License-Identifier: MIT */
/* block_glsl.c - the GLSL text of block codecs against their decoder, without a GPU: the text is in the subset that GLSL and C share.
 *
 *   block_glsl PLUGIN.so > text.c     the text of all its block codecs as one file of C, each with names of its own
 *   block_glsl PLUGIN.so text.so      that file, compiled: element by element, bit for bit, on drawn units; prints what differs, and exits 1
 *
 * test/sh/codec_gguf_glsl.sh does both. */
#include "core/plugin.h"
#include "kernels/canon.h"

#include <ctype.h>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

enum { UNITS = 400, MOST_ELEMS = 512, MOST_BYTES = 4096 };

static const char shim[] = "#include \"kernels/canon.h\"\n"
                           "typedef canon_uint uint;\n"
                           "const unsigned char *lb_bytes;\n"
                           "static uint lb_byte(uint at) { return lb_bytes[at]; }\n";

/* Every name that begins with lb_ gets a number, but lb_byte is the shim's. */
static void print_text(const char *text, size_t number)
{
    for (const char *at = text; *at;) {
        size_t n = 1;
        if (isalpha((unsigned char)*at) || *at == '_')
            while (isalnum((unsigned char)at[n]) || at[n] == '_')
                n++;
        printf("%.*s", (int)n, at);
        if (n > 3 && !strncmp(at, "lb_", 3) && strncmp(at, "lb_byte", n) != 0)
            printf("_%zu", number);
        at += n;
    }
}

/* Drawn bytes, in every other unit few bits of each, so that scales are small. */
static int check(const struct lb_codec *c, float (*element)(uint32_t, uint32_t), const unsigned char **bytes)
{
    static unsigned char codes[MOST_BYTES];
    static double want[MOST_ELEMS];
    for (uint32_t u = 0; u < UNITS; u++) {
        for (uint32_t i = 0; i < c->unit_bytes; i++)
            codes[i] = (unsigned char)(canon_random64(u, 50, i).w[0] & (u % 2 ? 0x3f : 0xff));
        c->decode(c, codes, c->unit_elems, want);
        *bytes = codes;
        for (uint32_t i = 0; i < c->unit_elems; i++) {
            const float got = element(0, i);
            if (canon_bits(got) == canon_bits(canon_nan((float)want[i])))
                continue;
            printf("%s: element %u of drawn unit %u: expected %a, by its GLSL %a\n", c->base.name, i, u, want[i], (double)got);
            return 1;
        }
    }
    return 0;
}

static int check_all(const struct lb_plugin *const *plugins, void *so)
{
    const unsigned char **bytes = dlsym(so, "lb_bytes");
    int bad = bytes ? 0 : 1;
    for (size_t k = 0; !bad && plugins[k]; k++) {
        const struct lb_codec *c = (const struct lb_codec *)plugins[k];
        char name[40];
        float (*element)(uint32_t, uint32_t);
        if (c->base.kind != LB_CODEC || c->bits || !c->glsl)
            continue;
        snprintf(name, sizeof name, "lb_element_%zu", k);
        *(void **)&element = dlsym(so, name);
        bad |= !element || check(c, element, bytes);
    }
    return bad;
}

int main(int argc, char **argv)
{
    void *plugin = argc > 1 && argc < 4 ? dlopen(argv[1], RTLD_NOW) : NULL;
    const struct lb_plugin *const *plugins = plugin ? (const struct lb_plugin *const *)dlsym(plugin, "lb_plugins") : NULL;
    if (!plugins) {
        fprintf(stderr, "block_glsl PLUGIN.so [TEXT.so]\n%s\n", argc > 1 ? dlerror() : "");
        return 2;
    }
    if (argc == 3) {
        void *so = dlopen(argv[2], RTLD_NOW);
        if (!so)
            fprintf(stderr, "%s\n", dlerror());
        return so ? check_all(plugins, so) : 2;
    }
    printf("%s", shim);
    for (size_t k = 0; plugins[k]; k++) {
        const struct lb_codec *c = (const struct lb_codec *)plugins[k];
        if (c->base.kind == LB_CODEC && !c->bits && c->glsl)
            print_text(c->glsl, k);
    }
    return 0;
}
