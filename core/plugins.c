/* SPDX-License-Identifier: MIT */
#include "core/plugins.h"
#include "core/base/io.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/plugins_check.h"
#include "core/plugins_file.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct slot {
    struct lb_entry entry;
    unsigned folder; /* which of the folders searched; the same name twice in one is refused */
};

static struct {
    struct slot **slots; /* in the order of the search: the first of a name wins */
    size_t n, cap;
    unsigned folders;
    struct stat *seen; /* the folders searched: each once, however often it is named */
    size_t n_seen;
    int loaded;
} registry;

/* What loading one file needs and leaves. */
struct loading {
    const char *file;
    char sha256[65];
    unsigned folder;
    int foreign; /* from a place that the user named: not lowbit's own */
    size_t at;   /* where in the registry the next entry goes */
    int accepted;
    size_t memory_refused; /* before: a file that there was no memory for is no bad file */
    struct lb_err refused; /* the first refusal */
};

/* ---- Names ------------------------------------------------------------------------------------------------------------------------ */

/* How well `word` names the plugin: 1 its name, 2 an alias, 3 its name without regard to case, 0 not at all. Aliases are matched to the letter: the
 * named format INT8 must not become the codec's alias int8 where formats.json is missing. */
static int match(const struct lb_plugin *p, const char *word)
{
    if (!strcmp(p->name, word))
        return 1;
    int best = strcasecmp(p->name, word) ? 0 : 3;
    const char *at = p->kind == LB_CODEC ? ((const struct lb_codec *)p)->aliases : NULL;
    char alias[LB_NAME_MAX + 1];
    while (at && lb_plugins_word(&at, alias, sizeof alias)) {
        if (!strcmp(alias, word))
            return 2;
    }
    return best;
}

/* The name or alias of p by which q goes too, into `word`. */
static int shared_name(const struct lb_plugin *p, const struct lb_plugin *q, char word[LB_NAME_MAX + 1])
{
    if (p->kind != q->kind)
        return 0;
    const char *at = p->name;
    if (lb_plugins_word(&at, word, LB_NAME_MAX + 1) && match(q, word))
        return 1;
    at = p->kind == LB_CODEC ? ((const struct lb_codec *)p)->aliases : NULL;
    while (at && lb_plugins_word(&at, word, LB_NAME_MAX + 1))
        if (match(q, word))
            return 1;
    return 0;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static int is_so(const char *name)
{
    const size_t n = strlen(name);
    return name[0] != '.' && n > 3 && !strcmp(name + n - 3, ".so");
}

static void settle_shadows(void)
{
    for (size_t i = 0; i < registry.n; i++) {
        struct lb_entry *e = &registry.slots[i]->entry;
        e->shadowed = 0;
        for (size_t j = 0; e->plugin && j < i && !e->shadowed; j++) {
            const struct lb_entry *first = &registry.slots[j]->entry;
            e->shadowed = first->plugin && !first->shadowed && first->plugin->kind == e->plugin->kind && match(first->plugin, e->name);
        }
    }
}

/* ---- Entries ---------------------------------------------------------------------------------------------------------------------- */

static void entry_finish(struct lb_entry *e)
{
    lb_free((void *)(uintptr_t)e->plugin);
    lb_free(e->name);
    lb_free(e->file);
    lb_free(e->why);
}

static int registry_insert(struct slot *s, size_t at, struct lb_err *err)
{
    if (registry.n == registry.cap) {
        const size_t cap = registry.cap ? 2 * registry.cap : 64;
        struct slot **slots = lb_alloc(cap, sizeof *slots, err);
        if (!slots)
            return -1;
        if (registry.n)
            memcpy(slots, registry.slots, registry.n * sizeof *slots);
        lb_free(registry.slots);
        registry.slots = slots;
        registry.cap = cap;
    }
    memmove(registry.slots + at + 1, registry.slots + at, (registry.n - at) * sizeof *registry.slots);
    registry.slots[at] = s;
    registry.n++;
    return 0;
}

/* Takes over `plugin`, the host's copy, or NULL for a refusal with its reason. */
static int add_entry(struct loading *l, struct lb_plugin *plugin, const char *why, int missing, struct lb_err *err)
{
    struct slot *s = lb_alloc(1, sizeof *s, err);
    if (!s) {
        lb_free(plugin);
        return -1;
    }
    const char *name = plugin ? plugin->name : base_name(l->file);
    s->folder = l->folder;
    s->entry.plugin = plugin;
    s->entry.missing = missing;
    memcpy(s->entry.file_sha256, l->sha256, sizeof l->sha256);
    s->entry.name = lb_strdup(name, err);
    s->entry.file = lb_strdup(l->file, err);
    s->entry.why = why ? lb_strdup(why, err) : NULL;
    if (!s->entry.name || !s->entry.file || (why && !s->entry.why) || registry_insert(s, l->at, err)) {
        entry_finish(&s->entry);
        lb_free(s);
        return -1;
    }
    if (!plugin && is_so(name))
        s->entry.name[strlen(name) - 3] = 0;
    l->at++;
    return 0;
}

static int refuse(struct loading *l, const char *why, int missing, struct lb_err *err)
{
    if (lb_mem_refused() != l->memory_refused || strcasestr(why, "cannot allocate memory")) /* as the loader and realpath say it */
        return lb_fail(err, "%s: %s", l->file, why);
    lb_fail(&l->refused, "%s: %s", l->file, why);
    if (!missing)
        lb_log(LB_LOG_WARN, "%s: refused: %s", l->file, why);
    return add_entry(l, NULL, why, missing, err);
}

/* ---- One file --------------------------------------------------------------------------------------------------------------------- */

/* The host's own copy, never smaller than the host's struct (hooks beyond the plugin's are NULL) nor than the plugin's own, whose hooks may
 * read members that this host does not know. */
static struct lb_plugin *copy_plugin(const struct lb_plugin *p, struct lb_err *err)
{
    const size_t whole = p->kind == LB_CODEC ? sizeof(struct lb_codec) : sizeof(struct lb_backend);
    struct lb_plugin *copy = lb_alloc(1, p->size > whole ? p->size : whole, err);
    if (copy)
        memcpy(copy, p, p->size);
    return copy;
}

static int check_clash(const struct loading *l, const struct lb_plugin *p, struct lb_err *err)
{
    char word[LB_NAME_MAX + 1];
    for (size_t i = 0; i < registry.n; i++) {
        const struct slot *s = registry.slots[i];
        if (s->folder == l->folder && s->entry.plugin && shared_name(p, s->entry.plugin, word))
            return lb_fail(err, "%s: \"%s\" is already taken by %s of %s in the same folder; one of the two must go", p->name, word,
                           s->entry.name, base_name(s->entry.file));
    }
    return 0;
}

/* One of the list: accepted, or an entry that says why not. -1 only where memory is out. */
static int load_plugin(struct loading *l, const struct lb_plugin *p, struct lb_err *err)
{
    struct lb_err why = {0};
    if (lb_plugins_check_base(p, &why))
        return refuse(l, why.text, 0, err);
    struct lb_plugin *copy = copy_plugin(p, err);
    if (!copy)
        return -1;
    int bad = p->kind == LB_CODEC ? lb_plugins_check_codec((struct lb_codec *)copy, &why)
                                  : lb_plugins_check_backend((struct lb_backend *)copy, &why);
    if (bad)
        lb_fail_in(&why, "%s", copy->name);
    if (bad || check_clash(l, copy, &why)) {
        lb_free(copy);
        return refuse(l, why.text, 0, err);
    }
    if (add_entry(l, copy, NULL, 0, err))
        return -1;
    l->accepted++;
    return 0;
}

/* Every plugin of the file gets an entry, or the file one that says why not. -1 only where memory is out. */
static int load_file(struct loading *l, struct lb_err *err)
{
    struct lb_err why = {0};
    int missing, r = 0;
    size_t n;
    l->memory_refused = lb_mem_refused();
    void *so = lb_plugins_open(l->file, l->foreign, l->sha256, &missing, &why);
    if (!so)
        return refuse(l, why.text, missing, err);
    const struct lb_plugin *const *list = lb_plugins_list(so, &n, &why);
    if (!list)
        r = refuse(l, why.text, 0, err);
    for (size_t i = 0; list && i < n && !r; i++)
        r = load_plugin(l, list[i], err);
    if (!l->accepted)
        dlclose(so);
    return r;
}

/* ---- Folders ---------------------------------------------------------------------------------------------------------------------- */

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int names_so(const struct dirent *d)
{
    return is_so(d->d_name);
}

/* 1 where the folder was searched before. */
static int folder_seen(const struct stat *st, struct lb_err *err)
{
    for (size_t i = 0; i < registry.n_seen; i++)
        if (registry.seen[i].st_dev == st->st_dev && registry.seen[i].st_ino == st->st_ino)
            return 1;
    struct stat *seen = lb_alloc(registry.n_seen + 1, sizeof *seen, err);
    if (!seen)
        return -1;
    if (registry.n_seen)
        memcpy(seen, registry.seen, registry.n_seen * sizeof *seen);
    seen[registry.n_seen++] = *st;
    lb_free(registry.seen);
    registry.seen = seen;
    return 0;
}

/* Loads each .so of the folder, in the bytewise order of names, so that it does not depend on the file system. */
static int load_folder(const char *dir, const char *named_by, struct lb_err *err)
{
    struct stat st;
    struct dirent **files = NULL;
    int n = stat(dir, &st) ? -1 : S_ISDIR(st.st_mode) ? scandir(dir, &files, names_so, by_bytes) : (errno = ENOTDIR, -1);
    if (n < 0 && !named_by && errno != ENOMEM)
        return 0;
    if (n < 0)
        return lb_fail(err, "%s%s%s: %s", named_by ? named_by : "", named_by ? ": " : "", dir, strerror(errno));
    int r = folder_seen(&st, err);
    registry.folders++;
    for (int i = 0; i < n; i++) {
        struct lb_text path = {0};
        lb_text_add(&path, "%s%s%s", dir, dir[strlen(dir) - 1] == '/' ? "" : "/", files[i]->d_name);
        if (r == 0)
            r = lb_text_end(&path, err);
        struct loading l = {.file = path.s, .folder = registry.folders, .foreign = named_by != NULL, .at = registry.n};
        if (r == 0)
            r = load_file(&l, err);
        lb_text_free(&path);
        free(files[i]);
    }
    free(files);
    return r < 0 ? -1 : 0;
}

/* Folders separated by colons. A variable may have outlived its folder: that is worth a word, not the command (`strict` 0). */
static int load_folders(const char *list, const char *named_by, int strict, struct lb_err *err)
{
    int r = 0, any = 0;
    for (const char *at = list; *at && !r;) {
        const size_t n = strcspn(at, ":");
        struct lb_text dir = {0};
        struct lb_err why = {0};
        const size_t refused = lb_mem_refused();
        lb_text_put(&dir, at, n);
        r = lb_text_end(&dir, &why);
        if (!r && n) {
            any = 1;
            r = load_folder(dir.s, named_by, &why);
        }
        if (r && !strict && lb_mem_refused() == refused) {
            lb_log(LB_LOG_WARN, "%s", why.text);
            r = 0;
        }
        if (r)
            lb_fail(err, "%s", why.text);
        lb_text_free(&dir);
        at += n + (at[n] == ':');
    }
    return r || any || !strict ? r : lb_fail(err, "%s: names no folder", named_by);
}

/* plugins/ beside the executable (a build folder), and ../lib/lowbit (an installed one, wherever it was moved to). */
static int load_near_executable(struct lb_err *err)
{
    static const char *const places[] = {"plugins", "../lib/lowbit"};
    char path[4096];
    const ssize_t n = readlink("/proc/self/exe", path, sizeof path - sizeof "../lib/lowbit");
    if (n <= 0 || (size_t)n >= sizeof path - sizeof "../lib/lowbit")
        return 0;
    path[n] = 0;
    char *slash = strrchr(path, '/');
    for (size_t i = 0; slash && i < sizeof places / sizeof *places; i++) {
        strcpy(slash + 1, places[i]);
        if (load_folder(path, NULL, err))
            return -1;
    }
    return 0;
}

int lb_plugins_load(const char *dirs, struct lb_err *err)
{
    if (registry.loaded)
        return 0;
    const char *path = getenv("LOWBIT_PLUGIN_PATH");
    if (dirs && load_folders(dirs, "--plugins", 1, err))
        return -1;
    if (path && load_folders(path, "LOWBIT_PLUGIN_PATH", 0, err))
        return -1;
    if (load_near_executable(err) || load_folder(LB_PREFIX "/lib/lowbit", NULL, err))
        return -1;
    registry.loaded = 1;
    settle_shadows();
    return 0;
}

int lb_plugins_load_file(const char *path, struct lb_err *err)
{
    struct loading l = {.file = path, .folder = ++registry.folders, .foreign = 1};
    if (load_file(&l, err))
        return -1;
    settle_shadows();
    return l.refused.set ? lb_fail(err, "%s", l.refused.text) : 0;
}

void lb_plugins_unload(void)
{
    for (size_t i = 0; i < registry.n; i++) {
        entry_finish(&registry.slots[i]->entry);
        lb_free(registry.slots[i]);
    }
    lb_free(registry.slots);
    lb_free(registry.seen);
    memset(&registry, 0, sizeof registry);
}

/* ---- Looking up ------------------------------------------------------------------------------------------------------------------- */

size_t lb_plugins_count(void)
{
    return registry.n;
}

const struct lb_entry *lb_plugins_at(size_t i)
{
    return i < registry.n ? &registry.slots[i]->entry : NULL;
}

const struct lb_entry *lb_plugins_refused(const char *name)
{
    for (size_t i = 0; i < registry.n; i++)
        if (!registry.slots[i]->entry.plugin && !strcasecmp(registry.slots[i]->entry.name, name))
            return &registry.slots[i]->entry;
    return NULL;
}

static int fail_unknown(uint32_t kind, const char *name, struct lb_err *err)
{
    const char *what = kind == LB_CODEC ? "codec" : "backend";
    const char **names = lb_alloc(registry.n, sizeof *names, err);
    size_t n = 0;
    if (!names)
        return -1;
    for (size_t i = 0; i < registry.n; i++) {
        const struct lb_entry *e = &registry.slots[i]->entry;
        if (e->plugin && e->plugin->kind == kind)
            names[n++] = e->name;
        else if (!e->plugin && !strcasecmp(e->name, name))
            lb_fail(err, "%s \"%s\" was not loaded: %s: %s", what, name, e->file, e->why);
    }
    const char *near = lb_nearest(name, names, n);
    if (near)
        lb_fail(err, "there is no %s \"%s\"; did you mean \"%s\"?", what, name, near);
    lb_fail(err, "there is no %s \"%s\"; see lowbit list %ss", what, name, what);
    lb_free(names);
    return -1;
}

const struct lb_entry *lb_plugins_find(uint32_t kind, const char *name, struct lb_err *err)
{
    const struct lb_entry *best = NULL;
    int best_match = 5;
    for (size_t i = 0; i < registry.n; i++) {
        const struct lb_entry *e = &registry.slots[i]->entry;
        const int m = e->plugin && e->plugin->kind == kind && !e->shadowed ? match(e->plugin, name) : 0;
        if (m && m < best_match) {
            best = e;
            best_match = m;
        }
    }
    if (!best)
        fail_unknown(kind, name, err);
    return best;
}

/* Calls init on the copy, and looks again at what init may have changed. */
static int init_codec(struct lb_codec *c, const struct lb_param *params, size_t n, struct lb_err *err)
{
    char why[256] = "";
    if (!c->init)
        return n ? lb_fail(err, "codec %s takes no parameters, found \"%s\"", c->base.name, params[0].name) : 0;
    if (c->state_size && !(c->state = lb_alloc(c->state_size, 1, err)))
        return -1;
    if (c->init(c, params, n, why, sizeof why)) {
        why[sizeof why - 1] = 0;
        return lb_fail(err, "codec %s: %s", c->base.name, *why ? why : "refuses its parameters and does not say why");
    }
    return lb_plugins_check_codec(c, err) ? lb_fail_in(err, "codec %s with these parameters", c->base.name) : 0;
}

int lb_plugins_codec(const char *name, const struct lb_param *params, size_t n, struct lb_codec **out, const struct lb_entry **entry,
                     struct lb_err *err)
{
    *out = NULL;
    const struct lb_entry *e = lb_plugins_find(LB_CODEC, name, err);
    struct lb_codec *c = e ? (struct lb_codec *)copy_plugin(e->plugin, err) : NULL;
    if (!c)
        return -1;
    c->state = NULL;
    if (init_codec(c, params, n, err)) {
        lb_plugins_codec_free(c);
        return -1;
    }
    if (entry)
        *entry = e;
    *out = c;
    return 0;
}

void lb_plugins_codec_free(struct lb_codec *c)
{
    if (!c)
        return;
    lb_free(c->state);
    lb_free(c);
}
