/* SPDX-License-Identifier: MIT */
/* vulkan_cache.c - compiled shaders on disk, one file a shader, named by the hash of all that decides it:
 *
 *     "lbspirv1" | bytes of the words, 64 bits | SHA-256 of the words | the words
 *
 * A file is written beside its place and renamed, so that processes that start at once see a whole file or none; one that is not whole (a
 * crash, a full disk) is not used and made again. That nothing could be kept is no failure. */
#include "plugins/vulkan/vulkan.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_WORDS = 1 << 22, SHA_BYTES = 32 };

struct header {
    char magic[8];
    uint64_t bytes;
    unsigned char sha256[SHA_BYTES];
};

static const char magic[8] = {'l', 'b', 's', 'p', 'i', 'r', 'v', '1'};

/* 0, or -1 where there is no cache or its path is too long. */
static int file_name(const struct vulkan_device *d, const unsigned char key[SHA_BYTES], char *name, size_t size)
{
    char hex[2 * SHA_BYTES + 1];
    for (size_t i = 0; i < SHA_BYTES; i++)
        snprintf(hex + 2 * i, 3, "%02x", key[i]);
    const int n = d->host->cache ? snprintf(name, size, "%s/%s.spv", d->host->cache, hex) : -1;
    return n < 0 || (size_t)n >= size ? -1 : 0;
}

static int digest(const uint32_t *words, size_t n, unsigned char sha256[SHA_BYTES])
{
    return EVP_Digest(words, n * sizeof *words, sha256, NULL, EVP_sha256(), NULL) == 1 ? 0 : -1;
}

/* The words behind a good header; NULL where the file ends early or says something else than it holds. */
static uint32_t *read_words(const struct vulkan_device *d, FILE *f, size_t *n)
{
    struct header h;
    unsigned char sha256[SHA_BYTES];
    if (fread(&h, sizeof h, 1, f) != 1 || memcmp(h.magic, magic, sizeof magic) != 0 || h.bytes == 0 || h.bytes % 4 ||
        h.bytes / 4 > MAX_WORDS)
        return NULL;
    *n = (size_t)h.bytes / 4;
    uint32_t *words = d->host->alloc(d->host, *n * sizeof *words);
    if (!words)
        return NULL;
    if (fread(words, sizeof *words, *n, f) == *n && !digest(words, *n, sha256) && !memcmp(sha256, h.sha256, SHA_BYTES))
        return words;
    d->host->free(d->host, words);
    return NULL;
}

int vulkan_cache_load(struct vulkan_device *d, const unsigned char key[SHA_BYTES], struct vulkan_spirv *out)
{
    char name[4096], text[4200];
    FILE *f = file_name(d, key, name, sizeof name) ? NULL : fopen(name, "rbe");
    if (!f)
        return -1;
    out->words = read_words(d, f, &out->n);
    fclose(f);
    if (out->words)
        return 0;
    snprintf(text, sizeof text, "%s: not a whole cache file; it is made again", name);
    d->host->log(d->host, LB_LOG_WARN, text);
    return -1;
}

static int write_all(int fd, const void *data, size_t bytes)
{
    const char *p = data;
    while (bytes) {
        const ssize_t n = write(fd, p, bytes);
        if (n <= 0)
            return -1;
        p += n;
        bytes -= (size_t)n;
    }
    return 0;
}

void vulkan_cache_store(struct vulkan_device *d, const unsigned char key[SHA_BYTES], const struct vulkan_spirv *s)
{
    char name[4096], temp[4128];
    struct header h = {.bytes = s->n * sizeof *s->words};
    memcpy(h.magic, magic, sizeof magic);
    if (file_name(d, key, name, sizeof name) || digest(s->words, s->n, h.sha256))
        return;
    mkdir(d->host->cache, 0777);
    snprintf(temp, sizeof temp, "%s.%ld.tmp", name, (long)getpid());
    const int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return;
    int bad = write_all(fd, &h, sizeof h) || write_all(fd, s->words, s->n * sizeof *s->words) || fsync(fd);
    bad |= close(fd) != 0;
    if (bad || rename(temp, name))
        unlink(temp);
}
