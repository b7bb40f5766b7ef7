/* SPDX-License-Identifier: MIT */
/* vulkan_compile.c - GLSL to SPIR-V. For the exact arithmetic shaderc does not optimise: its passes fold floating-point operations before they can
 * be marked NoContraction, and the driver optimises anyway. */
#include "plugins/vulkan/vulkan.h"

#include <openssl/evp.h>
#include <shaderc/shaderc.h>
#include <stdio.h>
#include <string.h>

/* Part of every key: a change of what this plugin does to shaders beside their text and definitions takes a new number. */
static const char version[] = "lowbit shaders 2";
#ifndef SHADERC_VERSION
#define SHADERC_VERSION "unknown" /* the Makefile knows */
#endif

/* By its path or, as file names are unique, by its name. */
static const struct vulkan_source *find_source(const char *name)
{
    for (const struct vulkan_source *s = vulkan_sources; s->name; s++)
        if (!strcmp(s->name, name) || !strcmp(strrchr(s->name, '/') + 1, name))
            return s;
    return NULL;
}

/* ---- Includes: files of the plugin, by their path in the source tree, and the text of a codec ---- */

struct includer {
    const struct vulkan_device *d;
    struct vulkan_source text;
};

static shaderc_include_result *include(void *user, const char *requested, int type, const char *from, size_t depth)
{
    static const char missing[] = "not part of the plugin (vulkan_table.c lists what is)";
    const struct includer *i = user;
    const struct vulkan_device *d = i->d;
    const struct vulkan_source *s = i->text.begin && !strcmp(requested, i->text.name) ? &i->text : find_source(requested);
    shaderc_include_result *r = d->host->alloc(d->host, sizeof *r);
    (void)type, (void)from, (void)depth;
    if (r)
        *r = (shaderc_include_result){s ? s->name : "", s ? strlen(s->name) : 0, s ? s->begin : missing,
                                      s ? (size_t)(s->end - s->begin) : sizeof missing - 1, NULL};
    return r;
}

static void include_free(void *user, shaderc_include_result *r)
{
    const struct includer *i = user;
    i->d->host->free(i->d->host, r);
}

/* ---- Keys ---- */

/* All that any shader may include, and the compiler. */
static int common_key(struct vulkan_compiler *c)
{
    EVP_MD_CTX *h = EVP_MD_CTX_new();
    int r = h && EVP_DigestInit_ex(h, EVP_sha256(), NULL) ? 0 : -1;
    if (!r) {
        EVP_DigestUpdate(h, version, sizeof version);
        EVP_DigestUpdate(h, SHADERC_VERSION, sizeof SHADERC_VERSION);
        for (const struct vulkan_source *s = vulkan_sources; s->name; s++) {
            const size_t n = strlen(s->name);
            if (n > 5 && !strcmp(s->name + n - 5, ".comp"))
                continue;
            EVP_DigestUpdate(h, s->name, n + 1);
            EVP_DigestUpdate(h, s->begin, (size_t)(s->end - s->begin));
        }
        r = EVP_DigestFinal_ex(h, c->common, NULL) ? 0 : -1;
    }
    EVP_MD_CTX_free(h);
    return r;
}

static int shader_key(const struct vulkan_device *d, const struct vulkan_source *s, const char *defines, const char *text, int loose,
                      unsigned char key[32])
{
    const unsigned char exact = !loose;
    const char *codec = text ? text : "";
    EVP_MD_CTX *h = EVP_MD_CTX_new();
    const int r = h && EVP_DigestInit_ex(h, EVP_sha256(), NULL) && EVP_DigestUpdate(h, d->shaders.common, sizeof d->shaders.common) &&
                          EVP_DigestUpdate(h, &exact, 1) && EVP_DigestUpdate(h, defines, strlen(defines) + 1) &&
                          EVP_DigestUpdate(h, s->name, strlen(s->name) + 1) && EVP_DigestUpdate(h, codec, strlen(codec) + 1) &&
                          EVP_DigestUpdate(h, s->begin, (size_t)(s->end - s->begin)) && EVP_DigestFinal_ex(h, key, NULL)
                      ? 0
                      : -1;
    EVP_MD_CTX_free(h);
    return r;
}

/* ---- Compilation ---- */

/* "NAME=VALUE NAME ..." */
static void define(shaderc_compile_options_t o, const char *defines)
{
    while (*defines) {
        const size_t n = strcspn(defines, " "), name = strcspn(defines, "= ");
        if (n)
            shaderc_compile_options_add_macro_definition(o, defines, name, defines + name + (name < n), name < n ? n - name - 1 : 0);
        defines += n + (defines[n] == ' ');
    }
}

static int take_result(struct vulkan_device *d, shaderc_compilation_result_t result, const char *file, struct vulkan_spirv *out)
{
    if (!result)
        return vulkan_fail(d, "%s: out of memory", file);
    if (shaderc_result_get_compilation_status(result) != shaderc_compilation_status_success)
        return vulkan_fail(d, "a shader does not compile: %.*s", (int)strcspn(shaderc_result_get_error_message(result), "\n"),
                           shaderc_result_get_error_message(result)); /* the first error: file, line, text */
    const size_t bytes = shaderc_result_get_length(result);
    out->words = d->host->alloc(d->host, bytes);
    if (!out->words)
        return vulkan_fail(d, "%s: out of memory", file);
    memcpy(out->words, shaderc_result_get_bytes(result), bytes);
    out->n = bytes / sizeof *out->words;
    return 0;
}

static int compile(struct vulkan_device *d, const struct vulkan_source *s, const char *defines, const char *text, int loose,
                   struct vulkan_spirv *out)
{
    struct includer includer = {d, {"lb_codec.glsl", text, text ? text + strlen(text) : NULL}};
    const shaderc_compile_options_t o = shaderc_compile_options_initialize();
    if (!o)
        return vulkan_fail(d, "%s: out of memory", s->name);
    define(o, defines);
    shaderc_compile_options_set_target_env(o, shaderc_target_env_vulkan, shaderc_env_version_vulkan_1_1);
    shaderc_compile_options_set_optimization_level(o, loose ? shaderc_optimization_level_performance : shaderc_optimization_level_zero);
    shaderc_compile_options_set_include_callbacks(o, include, include_free, &includer);
    const shaderc_compilation_result_t result =
        shaderc_compile_into_spv(d->shaders.compiler, s->begin, (size_t)(s->end - s->begin), shaderc_compute_shader, s->name, "main", o);
    const int r = take_result(d, result, s->name, out);
    if (result)
        shaderc_result_release(result);
    shaderc_compile_options_release(o);
    return r;
}

int vulkan_compile(struct vulkan_device *d, const struct vulkan_shader *shader, struct vulkan_spirv *out)
{
    const struct vulkan_source *s = find_source(shader->file);
    const int loose = vulkan_is_loose(d, shader);
    char defines[512];
    unsigned char key[32];
    const int n = snprintf(defines, sizeof defines, "%s%s%s%s%s%s", shader->defines, shader->text ? " HAS_CODEC_TEXT" : "",
                           loose ? " FAST" : "", d->fma == VULKAN_FMA_FUSED || !d->exact ? " FMA_FUSED" : "",
                           d->t.float64 ? " HAS_FLOAT64" : "", d->t.int64 ? " HAS_INT64" : "");
    *out = (struct vulkan_spirv){NULL, 0};
    if (!s || n < 0 || (size_t)n >= sizeof defines)
        return vulkan_fail(d, "%s: not part of the plugin, or too many definitions", shader->file);
    if (shader_key(d, s, defines, shader->text, loose, key))
        return vulkan_fail(d, "%s: SHA-256 failed", s->name);
    if (!vulkan_cache_load(d, key, out))
        return 0;
    if (compile(d, s, defines, shader->text, loose, out))
        return -1;
    vulkan_cache_store(d, key, out);
    return 0;
}

int vulkan_compiler_open(struct vulkan_device *d, char *why, size_t why_size)
{
    struct vulkan_compiler *c = &d->shaders;
    c->compiler = shaderc_compiler_initialize();
    if (c->compiler && !common_key(c))
        return 0;
    snprintf(why, why_size, "the shader compiler does not start");
    return -1;
}

void vulkan_compiler_close(struct vulkan_device *d)
{
    struct vulkan_compiler *c = &d->shaders;
    if (c->compiler)
        shaderc_compiler_release(c->compiler);
}
