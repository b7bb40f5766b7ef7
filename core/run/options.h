/* SPDX-License-Identifier: MIT */
/* options.h - the option table: one row a key. The same rows check JSON, fill structs in, write canonical JSON, help and JSON Schema. */
#ifndef LB_OPTIONS_H
#define LB_OPTIONS_H

#include "core/base/err.h"
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* What a value is, and what it becomes in the struct. Absent without a default: 0 or NULL, but -1 for a choice and NAN for a number. */
enum lb_option_type {
    LB_OPT_BOOL,   /* int */
    LB_OPT_INT,    /* int64_t */
    LB_OPT_REAL,   /* double */
    LB_OPT_TEXT,   /* char *, owned; with `choices`: one of them */
    LB_OPT_CHOICE, /* int: the index in `choices` */
    LB_OPT_PAIR,   /* int64_t[2]: an integer, for both, or two */
    LB_OPT_INTS,   /* int64_t[n]: exactly n integers */
    LB_OPT_SCALAR, /* a number or a text; only checked */
    LB_OPT_MAP,    /* json_t *, a new reference; an object that `table` checks */
    LB_OPT_OBJECT, /* the struct of `table`, in place; or with `count` a list of one */
    LB_OPT_LIST    /* an owned array of `item`s, `item_size` bytes each */
};

enum lb_option_flag {
    LB_REQUIRED = 1,
    LB_UNHASHED = 2,   /* changes no result: left out of the canonical JSON */
    LB_UNIQUE = 4,     /* a list without equal items */
    LB_WORD = 8,       /* a text of letters, digits, '_', '.', '-' that starts with none of the last two */
    LB_LINES = 16,     /* a text that may have line ends; all others are one line */
    LB_ABOVE_MIN = 32, /* min itself is out of range */
    LB_BELOW_MAX = 64  /* max itself is out of range */
};

#define LB_NOWHERE  ((size_t)-1)       /* offset of a row that is only checked */
#define LB_INT_MAX  9007199254740991.0 /* the largest integer that every JSON reader keeps: 2^53 - 1 */
#define LB_TEXT_MAX 4096               /* characters, where a row gives no max */

struct lb_option {
    const char *key; /* NULL: the item of a list, or what all other keys hold */
    enum lb_option_type type;
    size_t offset;
    size_t count;               /* offset of the size_t that counts the items of a list; 0: none */
    size_t has;                 /* offset of the int that becomes 1 where the key is given; 0: none */
    double min, max;            /* of numbers; of a text's characters; of a list's items */
    size_t n;                   /* LB_OPT_INTS: how many */
    const char *const *choices; /* NULL-ended */
    const struct lb_option *item;
    size_t item_size;
    const struct lb_table *table;
    const char *value; /* the default: JSON, or a text as it is; NULL: none */
    unsigned flags;
    const char *help;
};

/* Rules between the keys of one object. "Where": `when` is one of `values` (by its default where it is absent), or without values is given
 * at all. */
enum lb_rule_kind {
    LB_RULE_NEEDS = 1, /* keys are required where ... */
    LB_RULE_ONLY,      /* keys are allowed only where ... */
    LB_RULE_NOT,       /* keys are refused where ... */
    LB_RULE_ONE        /* exactly one of keys */
};
struct lb_rule {
    enum lb_rule_kind kind;
    const char *keys[6];
    const char *when;
    const char *values[6];
};

struct lb_table {
    const char *name; /* in help and in the schema's $defs */
    const char *help;
    const struct lb_option *options; /* ended by help == NULL */
    const struct lb_rule *rules;     /* ended by kind 0; or NULL */
    const struct lb_option *text;    /* a text stands for the object that has only text->key; or NULL */
    const struct lb_option *rest;    /* what keys that are not in `options` hold; NULL: they are errors */
};

/* Where JSON came from, for messages: a file's name and text, and the "PATH=VALUE" texts that were set in it. */
struct lb_source {
    const char *name, *text;
    const char *const *sets;
    size_t n_sets;
};

/* "name:line:column: path: message", or "--set PATH=VALUE: path: message" where that gave the value. With `key` (else NULL), the place is
 * that of this key of the object at `path`. */
int lb_source_fail(const struct lb_source *from, const char *path, const char *key, struct lb_err *err, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* Checks value against the table; `path` is the value's own ("" for the whole). */
int lb_options_check(const struct lb_table *table, const json_t *value, const char *path, const struct lb_source *from, struct lb_err *err);

/* Fills in `object` (zeroed) from JSON that passed the check, defaults included. On error it is still safe to free. */
int lb_options_fill(const struct lb_table *table, const json_t *value, void *object, struct lb_err *err);
void lb_options_free(const struct lb_table *table, void *object);

/* Checked JSON with all defaults filled in, numbers in one form, texts that stand for objects made objects, rows that change no result left
 * out. A new reference, or NULL. */
json_t *lb_options_canonical(const struct lb_table *table, const json_t *value, struct lb_err *err);

/* The table and all tables below it, as text and as JSON Schema 2020-12 (a new reference, or NULL). */
void lb_options_help(const struct lb_table *table, FILE *out);
json_t *lb_options_schema(const struct lb_table *table, struct lb_err *err);

/* ---- What the files of the engine share ---- */

const struct lb_option *lb_options_find(const struct lb_table *table, const char *key);
json_t *lb_options_default(const struct lb_option *o); /* a new reference; NULL: no default, or out of memory */
int lb_options_where(const struct lb_table *table, const struct lb_rule *r, const json_t *object); /* does the rule's condition hold? */
int lb_options_choice(const char *const *choices, const char *word);                               /* its index, or -1 */

/* What a row wants ("an integer ≥ 1") into buf; `above`: the value was too large, so max is worth naming. Returns buf. */
char *lb_options_wanted(const struct lb_option *o, int above, char *buf, size_t size);
/* A value as a message shows it, at most ~60 characters. Returns buf. */
char *lb_json_shown(const json_t *value, char *buf, size_t size);
/* The shortest decimal that reads back as v. Returns buf. */
char *lb_number_text(double v, char *buf, size_t size);

#endif
