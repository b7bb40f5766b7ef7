/* SPDX-License-Identifier: MIT */
#include "core/base/json.h"
#include "core/base/mem.h"

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Memory ---- */

/* Where memory is out jansson 2.14 calls a text malformed, or writes one without its keys. */

json_t *lb_json_load(const char *text, size_t n, size_t flags, json_error_t *e)
{
    const size_t refused = lb_mem_refused();
    json_t *value = json_loadb(text, n, flags, e);
    if (lb_mem_refused() == refused)
        return value;
    json_decref(value);
    e->text[JSON_ERROR_TEXT_LENGTH - 1] = json_error_out_of_memory; /* where json_error_code looks */
    return NULL;
}

char *lb_json_dump(const json_t *value, size_t flags)
{
    const size_t refused = lb_mem_refused();
    char *text = json_dumps(value, flags), *copy = text && lb_mem_refused() == refused ? lb_strdup(text, NULL) : NULL;
    json_free_t let_go;
    json_get_alloc_funcs(NULL, &let_go);
    let_go(text);
    return copy;
}

/* ---- Places ---- */

/* 1-based line and column of text[at]; a column counts characters, so the continuation bytes of UTF-8 do not count. */
static void place_of(const char *text, size_t at, int *line, int *column)
{
    *line = *column = 1;
    for (size_t i = 0; i < at; i++) {
        if (text[i] == '\n') {
            ++*line;
            *column = 1;
        } else if (((unsigned char)text[i] & 0xc0) != 0x80) {
            ++*column;
        }
    }
}

/* jansson says where it stopped, which is behind the token at fault; the message should name the token's first character. */
static size_t token_start(const char *text, size_t n, const json_error_t *e)
{
    size_t at = e->position < 0 ? 0 : (size_t)e->position;
    at = at > n ? n : at;
    enum json_error_code code = json_error_code(e);
    if (code == json_error_invalid_utf8 || code == json_error_premature_end_of_input || !at)
        return at;
    if (code == json_error_numeric_overflow) {
        while (at && strchr("+-.0123456789eE", text[at - 1]))
            at--;
        return at;
    }
    if (code == json_error_duplicate_key) {
        for (at--; at; at--) { /* from the closing quote to the opening one: the next that no odd run of backslashes escapes */
            size_t escapes = 0;
            while (escapes < at - 1 && text[at - 2 - escapes] == '\\')
                escapes++;
            if (text[at - 1] == '"' && escapes % 2 == 0)
                return at - 1;
        }
        return at;
    }
    const char *near = strstr(e->text, " near '");
    size_t length = near ? strlen(near + 7) - 1 : 1;
    return length && length <= at ? at - length : at - 1;
}

static json_t *fail_parse(const char *text, size_t n, const char *name, const json_error_t *e, struct lb_err *err)
{
    char why[JSON_ERROR_TEXT_LENGTH + 1];
    int line, column;
    size_t at = token_start(text, n, e);
    place_of(text, at, &line, &column);
    snprintf(why, sizeof why, "%s", e->text);
    for (char *p = why; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    switch (json_error_code(e)) {
    case json_error_duplicate_key: {
        int length = 1; /* the key as it is written, quotes included */
        while (at + (size_t)length < n && length < 80 && text[at + (size_t)length] != '"')
            length += text[at + (size_t)length] == '\\' ? 2 : 1;
        if (at + (size_t)length < n && length < 80)
            lb_fail(err, "%s:%d:%d: duplicate key %.*s", name, line, column, length + 1, text + at);
        else
            lb_fail(err, "%s:%d:%d: duplicate key", name, line, column);
        break;
    }
    case json_error_stack_overflow:
        lb_fail(err, "%s:%d:%d: nested more than %d deep", name, line, column, 2048);
        break;
    case json_error_invalid_utf8:
        lb_fail(err, "%s:%d:%d: not UTF-8: %s", name, line, column, why);
        break;
    case json_error_numeric_overflow:
        lb_fail(err, "%s:%d:%d: a number out of range: %s", name, line, column, why);
        break;
    case json_error_null_character:
    case json_error_null_byte_in_key:
        lb_fail(err, "%s:%d:%d: a text with the character \\u0000", name, line, column);
        break;
    case json_error_out_of_memory:
        lb_fail(err, "%s: out of memory: JSON", name);
        break;
    default:
        lb_fail(err, "%s:%d:%d: not JSON: %s", name, line, column, why);
    }
    return NULL;
}

json_t *lb_json_parse(const char *text, size_t n, const char *name, struct lb_err *err)
{
    size_t blanks = 0;
    while (blanks < n && strchr(" \t\r\n", text[blanks]) && text[blanks])
        blanks++;
    if (blanks == n) {
        lb_fail(err, "%s:1:1: empty: expected JSON", name);
        return NULL;
    }
    if (n >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) {
        lb_fail(err, "%s:1:1: not JSON: it starts with a byte order mark", name);
        return NULL;
    }
    json_error_t e = {0};
    json_t *value = n > INT_MAX ? NULL : lb_json_load(text, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
    if (n > INT_MAX)
        lb_fail(err, "%s: %zu bytes are too many for JSON", name, n);
    return value || n > INT_MAX ? value : fail_parse(text, n, name, &e, err);
}

/* ---- A scanner of JSON that is valid; where it is not, it still stops at the NUL ---- */

static const char *skip_blanks(const char *s)
{
    return s + strspn(s, " \t\r\n");
}

/* Behind the string that starts with the quote at s. */
static const char *skip_string(const char *s)
{
    for (s++; *s && *s != '"'; s++)
        if (*s == '\\' && s[1])
            s++;
    return *s ? s + 1 : s;
}

/* Behind the value at s. Without recursion, so that no nesting can exhaust the stack. */
static const char *skip_value(const char *s)
{
    size_t depth = 0;
    do {
        s = skip_blanks(s);
        if (*s == '"') {
            s = skip_string(s);
        } else if (*s == '{' || *s == '[') {
            depth++;
            s++;
            continue;
        } else if (*s == '}' || *s == ']') {
            if (!depth)
                return s;
            depth--;
            s++;
        } else if (*s == ',' || *s == ':') {
            s++;
        } else {
            s += strcspn(s, " \t\r\n,:]}\"[{");
        }
    } while (*s && depth);
    return s;
}

static unsigned hex4(const char *s)
{
    unsigned v = 0;
    for (int i = 0; i < 4; i++) {
        const char *digits = "0123456789abcdef", *d = s[i] ? strchr(digits, s[i] | (s[i] > '9' ? 0x20 : 0)) : NULL;
        if (!d)
            return UINT_MAX;
        v = v * 16 + (unsigned)(d - digits);
    }
    return v;
}

static size_t put_utf8(unsigned c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)((0xf00u >> n & 0xf0u) | c);
    return n;
}

/* One character of a string, decoded; *s moves behind it. */
static size_t take_character(const char **s, char out[4])
{
    static const char escapes[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    const char *p = *s;
    if (*p != '\\' || !p[1]) {
        *s = p + 1;
        out[0] = *p;
        return 1;
    }
    const char *e = strchr(escapes, p[1]);
    unsigned c = p[1] == 'u' ? hex4(p + 2) : UINT_MAX;
    if (e || c == UINT_MAX) {
        *s = p + 2;
        out[0] = e ? meant[e - escapes] : p[1];
        return 1;
    }
    *s = p + 6;
    unsigned low = c >= 0xd800 && c < 0xdc00 && p[6] == '\\' && p[7] == 'u' ? hex4(p + 8) : UINT_MAX;
    if (low >= 0xdc00 && low < 0xe000) {
        *s = p + 12;
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    return put_utf8(c, out);
}

static int ends_step(char c)
{
    return !c || c == '.' || c == '[';
}

/* How many bytes of `path` the key at s (an opening quote) takes; 0: another key. A key may itself have dots: {"0.weight": ...}. */
static size_t match_key(const char *s, const char *path)
{
    size_t n = 0;
    for (s++; *s && *s != '"';) {
        char c[4];
        size_t m = take_character(&s, c);
        for (size_t i = 0; i < m; i++, n++)
            if (!path[n] || path[n] != c[i])
                return 0;
    }
    return ends_step(path[n]) ? n : 0;
}

/* The member of the object at s that takes most of `path`: its key and its value. Returns how much, 0: none. */
static size_t find_member(const char *s, const char *path, const char **key, const char **value)
{
    size_t best = 0;
    s = skip_blanks(s + 1);
    while (*s == '"') {
        size_t n = match_key(s, path);
        const char *k = s;
        s = skip_blanks(skip_string(s));
        if (*s == ':')
            s = skip_blanks(s + 1);
        if (n > best) {
            best = n;
            *key = k;
            *value = s;
        }
        s = skip_blanks(skip_value(s));
        if (*s != ',')
            break;
        s = skip_blanks(s + 1);
    }
    return best;
}

/* "[12]" at *path: the number, and *path behind it. -1: no index. */
static long take_index(const char **path)
{
    if (**path != '[' || (*path)[1] < '0' || (*path)[1] > '9')
        return -1;
    char *end;
    long i = strtol(*path + 1, &end, 10);
    if (*end != ']' || i == LONG_MAX)
        return -1;
    *path = end + 1;
    return i;
}

static const char *find_element(const char *s, long index)
{
    for (s = skip_blanks(s + 1); *s && *s != ']'; s = skip_blanks(s + 1)) {
        if (!index--)
            return s;
        s = skip_blanks(skip_value(s));
        if (*s != ',')
            return NULL;
    }
    return NULL;
}

void lb_json_locate(const char *text, const char *path, int key, int *line, int *column)
{
    const char *s = skip_blanks(text), *found = s;
    while (*path) {
        const char *k = NULL, *next = NULL;
        if (*s == '[') {
            long index = take_index(&path);
            next = index < 0 ? NULL : find_element(s, index);
        } else if (*s == '{') {
            path += find_member(s, path, &k, &next);
        }
        if (!next)
            break;
        found = s = next;
        if (!*path && key && k)
            found = k;
        path += *path == '.';
    }
    place_of(text, (size_t)(found - text), line, column);
}

/* ---- Writing ---- */

json_t *lb_json_text(const char *s)
{
    json_t *text = json_string(s);
    char *ascii = text ? NULL : lb_strdup(s, NULL);
    for (char *p = ascii; p && *p; p++)
        if ((unsigned char)*p > 0x7f)
            *p = '?';
    if (ascii)
        text = json_string(ascii);
    lb_free(ascii);
    return text;
}

char *lb_json_canonical(const json_t *value, struct lb_err *err)
{
    char *text = lb_json_dump(value, JSON_SORT_KEYS | JSON_COMPACT | JSON_ENCODE_ANY);
    if (!text)
        lb_fail(err, "out of memory: JSON text");
    return text;
}

/* The length of the step at `path`: the longest key of `object` that it starts with, or all up to the next dot or bracket. */
static size_t key_step(const json_t *object, const char *path)
{
    size_t best = 0;
    for (void *i = json_object_iter((json_t *)(uintptr_t)object); i; i = json_object_iter_next((json_t *)(uintptr_t)object, i)) {
        const char *key = json_object_iter_key(i);
        size_t n = strlen(key);
        if (n > best && !strncmp(key, path, n) && ends_step(path[n]))
            best = n;
    }
    return best ? best : strcspn(path, ".[");
}

/* Puts `value` (taken over) at the last step, or moves to the next container, making an object where there is none. */
static json_t *step_into(json_t *at, const char **path, json_t *value, struct lb_err *err)
{
    const char *start = *path;
    if (json_is_array(at)) {
        long i = take_index(path);
        size_t size = json_array_size(at);
        if (i < 0 || (size_t)i > size) {
            lb_fail(err, "expected an index from [0] to [%zu] at \"%.80s\"", size, start);
            return NULL;
        }
        json_t *have = json_array_get(at, (size_t)i);
        json_t *put = !**path ? json_incref(value) : have ? NULL : json_object();
        if (put && ((size_t)i < size ? json_array_set_new(at, (size_t)i, put) : json_array_append_new(at, put))) {
            lb_fail(err, "out of memory: JSON");
            return NULL;
        }
        return json_array_get(at, (size_t)i);
    }
    char key[256];
    size_t n = json_is_object(at) ? key_step(at, start) : 0;
    if (!n || n >= sizeof key) {
        lb_fail(err,
                json_is_object(at) ? "\"%.80s\" is no path"
                                   : "nothing can be set at \"%.80s\": what holds it is neither an object nor an array",
                start);
        return NULL;
    }
    memcpy(key, start, n);
    key[n] = 0;
    *path += n;
    if (!**path && json_is_null(value)) { /* as if the key had not been given; no option takes null */
        if (json_object_del(at, key)) {
            lb_fail(err, "there is no \"%s\" to take out", key);
            return NULL;
        }
        return value;
    }
    const size_t refused = lb_mem_refused();
    json_t *put = !**path ? json_incref(value) : json_object_get(at, key) ? NULL : json_object();
    if (put && json_object_set_new(at, key, put)) {
        lb_fail(err, lb_mem_refused() == refused ? "\"%.80s\" is not UTF-8" : "\"%.80s\": out of memory: JSON", key);
        return NULL;
    }
    return json_object_get(at, key);
}

int lb_json_set(json_t *root, const char *path, const char *text, struct lb_err *err)
{
    int result = -1;
    json_error_t e = {0};
    const size_t refused = lb_mem_refused();
    json_t *value = lb_json_load(text, strlen(text), JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
    if (!value && json_error_code(&e) != json_error_out_of_memory)
        value = json_string(text);
    if (!value)
        return lb_mem_refused() == refused ? lb_fail(err, "\"%.80s\": the value is not UTF-8", path)
                                           : lb_fail(err, "\"%.80s\": out of memory: JSON", path);
    if (!*path) {
        lb_fail(err, "expected a path such as train.epochs before \"=\"");
        goto out;
    }
    while (*path) {
        root = step_into(root, &path, value, err);
        if (!root) {
            lb_fail(err, "\"%.80s\": out of memory: JSON", path); /* unless another error is there */
            goto out;
        }
        if (*path == '.' && path[1] && path[1] != '[') {
            path++;
        } else if (*path && *path != '[') {
            lb_fail(err, "\"%.80s\" is no path", path);
            goto out;
        }
    }
    result = 0;
out:
    json_decref(value);
    return result;
}
